import { toNotKept, type StorageFault } from './not-kept.ts';

/** The part of `localStorage` that is used. */
type KeyValueStorage = Pick<Storage, 'getItem' | 'setItem'>;

/** The browser's storage for small values; what it does not take is in this page's memory, and `onNotKept` is told. */
export function pageStorage(
  open: () => KeyValueStorage | null,
  onNotKept: (fault: StorageFault) => void = () => undefined,
): KeyValueStorage {
  const memory = new Map<string, string>();
  const storage = openOrNull(open);
  if (storage === null) onNotKept('denied');
  return {
    getItem(key) {
      const held = memory.get(key);
      if (held !== undefined) return held;
      try {
        return storage?.getItem(key) ?? null;
      } catch (thrown) {
        onNotKept(toNotKept(thrown).fault);
        return null;
      }
    },
    setItem(key, value) {
      memory.set(key, value);
      if (storage === null) return;
      try {
        storage.setItem(key, value);
        memory.delete(key);
      } catch (thrown) {
        onNotKept(toNotKept(thrown).fault);
      }
    },
  };
}

/** Asking for it throws where it is denied; some browsers have none. */
function openOrNull(open: () => KeyValueStorage | null): KeyValueStorage | null {
  try {
    return open();
  } catch {
    return null;
  }
}
