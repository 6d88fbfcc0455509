import { expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { readersOf } from '#shared/route/readers.ts';

const peer = (letter: string) => ({
  id: letter.repeat(64) as PeerId,
  webrtc: true,
  numericClass: 'wasm',
});
const stage = (primary: string, ...shadows: string[]) => ({
  range: { start: 0, end: 1, embedding: true, head: true },
  primary: peer(primary),
  shadows: shadows.map(peer),
  predictedMs: 1,
});

it('all replicas of all routes, and thirds, could read what was asked, each counted once', () => {
  const routes = [{ stages: [stage('a', 'b'), stage('c')] }, { stages: [stage('a', 'd')] }];
  const readers = readersOf(routes, [peer('b').id, peer('e').id]);
  expect([...readers].map((id) => id[0]).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
});
