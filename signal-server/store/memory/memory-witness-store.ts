import type { NoteKey } from '#shared/log/signed-note.ts';
import type { WitnessStore } from '../witness-store.ts';

/** A witness that forgets all it has cosigned when its process ends: for trials only. */
export function createMemoryWitnessStore(): WitnessStore {
  const logs = new Map<string, NoteKey>();
  const notes = new Map<string, string>();
  let name: string | null = null;
  return {
    async nameItself(wanted) {
      if (name !== null) return false;
      name = wanted;
      return true;
    },
    async watch(key) {
      if (logs.has(key.name)) return false;
      logs.set(key.name, copyOf(key));
      return true;
    },
    async advance(origin, known, note) {
      if ((notes.get(origin) ?? null) !== known) return false;
      notes.set(origin, note);
      return true;
    },
    get name() {
      return name;
    },
    get logs() {
      return [...logs.values()].map(copyOf).sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    note: (origin) => notes.get(origin) ?? null,
    close: () => Promise.resolve(),
  };
}

function copyOf(key: NoteKey): NoteKey {
  return { ...key, publicKey: key.publicKey.slice() };
}
