import { expect, it } from 'vitest';
import { Listeners } from '#shared/listeners.ts';

it('calls every listener with what is told, until it is removed', () => {
  const listeners = new Listeners<[string, number]>();
  const heard: string[] = [];
  const remove = listeners.add((word, count) => heard.push(`first ${word} ${count}`));
  listeners.add((word) => heard.push(`second ${word}`));
  listeners.notify('hello', 2);
  remove();
  remove();
  listeners.notify('again', 3);
  expect(heard).toEqual(['first hello 2', 'second hello', 'second again']);
  expect(listeners.size).toBe(1);
});

it('calls a listener once, however often it was added', () => {
  const listeners = new Listeners();
  let calls = 0;
  const listener = () => void calls++;
  listeners.add(listener);
  listeners.add(listener);
  listeners.notify();
  expect(calls).toBe(1);
  expect(listeners.has(listener)).toBe(true);
});

it('lets listeners add and remove others while they are called', () => {
  const listeners = new Listeners();
  const heard: string[] = [];
  const removeFirst = listeners.add(() => {
    heard.push('first');
    removeFirst();
    listeners.add(() => heard.push('late'));
  });
  listeners.add(() => heard.push('second'));
  listeners.notify();
  expect(heard).toEqual(['first', 'second']);
  listeners.notify();
  expect(heard).toEqual(['first', 'second', 'second', 'late']);
});
