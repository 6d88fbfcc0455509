import { afterEach, expect, it, vi } from 'vitest';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { announceReady } from '../../../../signal-server/cli/serve/announce-ready.ts';

afterEach(() => vi.restoreAllMocks());

const network = (servable: boolean, ready: number): NetworkSnapshot =>
  ({
    models: [
      { name: 'wren', servable, reason: servable ? null : 'no volunteer holds layers 0–3' },
      { name: 'owl', servable: false, reason: 'no volunteer holds it' },
    ],
    volunteers: ['ready', 'loading'].map((state, i) => ({ kind: 'anchor', state: i < ready ? 'ready' : state })),
  }) as unknown as NetworkSnapshot;

/** The lines that it writes while the network is in each of these states in turn. */
async function linesOf(anchors: number, ...states: readonly NetworkSnapshot[]): Promise<string[]> {
  const lines: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((line) => lines.push(String(line)) > 0);
  let looks = 0;
  const snapshot = () => states[Math.min(looks++, states.length - 1)]!;
  await announceReady(
    { snapshot },
    anchors,
    () => looks >= states.length && states.at(-1)!.models[0]!.servable === false,
  );
  return lines;
}

it('says once that the network can answer, when its own volunteers are all there', async () => {
  expect(await linesOf(2, network(false, 0), network(true, 1), network(true, 2))).toEqual(['ready to answer: wren\n']);
});

it('says what is missing where the server has no volunteers of its own', async () => {
  const missing = 'Nobody can answer yet: no volunteer holds layers 0–3.\n';
  expect(await linesOf(0, network(false, 0), network(false, 0))).toEqual([missing]);
  expect(await linesOf(0, network(false, 0), network(true, 0))).toEqual([missing, 'ready to answer: wren\n']);
});
