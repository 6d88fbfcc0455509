import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { AnswerTurns, type AnswerTurn } from '../../../signal-server/gateway/answer-turns.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

const model = 'a'.repeat(64) as Digest;
const other = 'b'.repeat(64) as Digest;
const { signal } = new AbortController();

function stand(answers = 8) {
  const clock = new FakeClock();
  const turns = new AnswerTurns({ clock, answers, waitMs: 60_000 });
  const taken: { readonly client: string; readonly turn: AnswerTurn }[] = [];
  const ask = (client: string, of = model): void =>
    void turns.enter(client, of, signal).then((turn) => taken.push({ client, turn }));
  return { clock, turns, taken, ask, settled: settle, clients: () => taken.map(({ client }) => client) };
}

describe('turns of answers', () => {
  it('let few of one model look for volunteers, so that another client is soon next', async () => {
    const { taken, ask, settled, clients } = stand();
    for (let i = 0; i < 4; i++) ask('noisy');
    ask('quiet');
    await settled();
    expect(clients()).toEqual(['noisy', 'noisy']);
    taken[0]!.turn.routed();
    await settled();
    expect(clients()).toEqual(['noisy', 'noisy', 'quiet']);
  });

  it('let those of another model look for theirs meanwhile', async () => {
    const { ask, settled, clients } = stand();
    for (let i = 0; i < 3; i++) ask('a');
    ask('b', other);
    await settled();
    expect(clients()).toEqual(['a', 'a', 'b']);
  });

  it('leave half of the answers to others than one client', async () => {
    const { taken, ask, settled, clients } = stand(4);
    for (let i = 0; i < 4; i++) {
      ask('noisy');
      await settled();
      taken[i]?.turn.routed();
    }
    ask('quiet');
    await settled();
    expect(clients()).toEqual(['noisy', 'noisy', 'quiet']);
    taken[0]!.turn.leave();
    taken[0]!.turn.leave();
    await settled();
    expect(clients()).toEqual(['noisy', 'noisy', 'quiet', 'noisy']);
  });

  it('end with all-busy where none comes in time, waiting or looking for volunteers, and not after that', async () => {
    const { clock, turns, taken, ask, settled } = stand();
    ask('a');
    ask('a');
    await settled();
    taken[0]!.turn.routed();
    ask('a');
    await settled();
    const waiting = codeOfAsync(turns.enter('b', model, signal));
    await settled();
    await clock.advance(60_000);
    expect(await waiting).toBe('all-busy');
    expect(taken.map(({ turn }) => turn.signal.aborted)).toEqual([false, true, true]);
    expect(taken[1]!.turn.signal.reason).toMatchObject({ code: 'all-busy' });
  });

  it('end with the reason of whoever has given up', async () => {
    const { turns } = stand();
    const aborter = new AbortController();
    aborter.abort(new ChorusError('cancelled', 'the client left'));
    expect(await codeOfAsync(turns.enter('a', model, aborter.signal))).toBe('cancelled');
  });

  it('have one prompt read after the other, and one of each client in turn', async () => {
    const { turns, settled } = stand();
    const read: string[] = [];
    const finish: (() => void)[] = [];
    const ask = (client: string) =>
      turns.read(client, signal, () => {
        read.push(client);
        return new Promise<void>((resolve) => finish.push(resolve));
      });
    const all = ['noisy', 'noisy', 'noisy', 'quiet'].map(ask);
    for (let i = 0; i < 4; i++) {
      await settled();
      expect(read.length).toBe(i + 1);
      finish[i]!();
    }
    await Promise.all(all);
    expect(read).toEqual(['noisy', 'quiet', 'noisy', 'noisy']);
  });
});
