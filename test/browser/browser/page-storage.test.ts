import { expect, test } from 'vitest';
import type { StorageFault } from '../../../web/browser/not-kept.ts';
import { pageStorage } from '../../../web/browser/page-storage.ts';

const refusing = (name: string) => (): never => {
  throw new DOMException('the browser’s own words', name);
};

test('a small value is in the browser’s storage', () => {
  const storage = pageStorage(() => localStorage, refusing('nothing was to be told'));
  storage.setItem('test.kept', 'one');
  expect([storage.getItem('test.kept'), localStorage.getItem('test.kept')]).toEqual(['one', 'one']);
  expect(storage.getItem('test.absent')).toBeNull();
  localStorage.removeItem('test.kept');
});

test.each<[string, () => Pick<Storage, 'getItem' | 'setItem'> | null, StorageFault]>([
  ['that is denied', refusing('SecurityError'), 'denied'],
  ['that is not there', () => null, 'denied'],
  ['that is full', () => ({ getItem: () => 'before', setItem: refusing('QuotaExceededError') }), 'full'],
])('a storage %s leaves it to the page’s memory, and is told', (_, open, fault) => {
  const faults: StorageFault[] = [];
  const storage = pageStorage(open, (told) => faults.push(told));
  storage.setItem('test.kept', 'one');
  expect([storage.getItem('test.kept'), faults]).toEqual(['one', [fault]]);
});

test('a storage that cannot be read is empty, and told', () => {
  const faults: StorageFault[] = [];
  const unreadable = { getItem: refusing('SecurityError'), setItem: refusing('SecurityError') };
  const storage = pageStorage(
    () => unreadable,
    (told) => faults.push(told),
  );
  expect(storage.getItem('test.kept')).toBeNull();
  storage.setItem('test.kept', 'one');
  expect([storage.getItem('test.kept'), faults]).toEqual(['one', ['denied', 'denied']]);
});
