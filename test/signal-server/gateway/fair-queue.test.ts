import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { FairQueue, type FairQueueLimits } from '../../../signal-server/gateway/fair-queue.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { settle } from '../../support/fake-clock.ts';

const wide: FairQueueLimits = { most: 1, mostOfOne: 1, waiting: 100, waitingOfOne: 50 };
const { signal } = new AbortController();

/** A queue that tells who was let in, in order; each entry is left by its number. */
function watched(limits: Partial<FairQueueLimits> = {}) {
  const queue = new FairQueue({ ...wide, ...limits });
  const entered: string[] = [];
  const leave: (() => void)[] = [];
  const ask = (client: string, wanted = signal): void => {
    queue.enter(client, wanted).then(
      (exit) => {
        entered.push(client);
        leave.push(exit);
      },
      () => undefined,
    );
  };
  return { queue, entered, leave, ask, settled: settle };
}

describe('a fair queue', () => {
  it('lets a client that asks once in before all that wait of a client that asks much', async () => {
    const { entered, leave, ask, settled } = watched();
    for (let i = 0; i < 10; i++) ask('noisy');
    ask('quiet');
    await settled();
    for (let i = 0; i < 3; i++) {
      leave[i]!();
      await settled();
    }
    expect(entered).toEqual(['noisy', 'quiet', 'noisy', 'noisy']);
  });

  it('goes round among clients that all ask much', async () => {
    const { entered, leave, ask, settled } = watched();
    for (const client of ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c']) ask(client);
    await settled();
    for (let i = 0; i < 8; i++) {
      leave[i]!();
      await settled();
    }
    expect(entered).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']);
  });

  it('lets newcomers, however many come, not pass a client by that has waited for longer', async () => {
    const { entered, leave, ask, settled } = watched();
    ask('first');
    await settled();
    ask('first');
    for (let i = 0; i < 5; i++) {
      ask(`newcomer ${i}`);
      leave[i]!();
      await settled();
    }
    expect(entered.slice(0, 4)).toEqual(['first', 'newcomer 0', 'first', 'newcomer 1']);
  });

  it('keeps places free for others than one client', async () => {
    const { entered, ask, settled } = watched({ most: 4, mostOfOne: 2 });
    for (let i = 0; i < 4; i++) ask('noisy');
    ask('quiet');
    await settled();
    expect(entered).toEqual(['noisy', 'noisy', 'quiet']);
  });

  it('lets nobody in who has given up, and remembers nothing of whoever has left', async () => {
    const { queue, entered, leave, ask, settled } = watched();
    const aborter = new AbortController();
    ask('a');
    ask('b', aborter.signal);
    ask('c');
    await settled();
    aborter.abort(new ChorusError('timeout', 'too long'));
    leave[0]!();
    leave[0]!();
    await settled();
    expect(entered).toEqual(['a', 'c']);
    leave[1]!();
    expect(queue.isIdle).toBe(true);
  });

  it('says with the signal’s own reason that a wait was given up', async () => {
    const { queue, ask, settled } = watched();
    ask('a');
    await settled();
    const aborter = new AbortController();
    const waiting = codeOfAsync(queue.enter('b', aborter.signal));
    aborter.abort(new ChorusError('all-busy', 'too long'));
    expect(await waiting).toBe('all-busy');
    expect(await codeOfAsync(queue.enter('b', aborter.signal))).toBe('all-busy');
  });

  it('refuses one more of a client that has too many waiting, and of all when too many wait', async () => {
    const { queue, ask, settled } = watched({ waiting: 4, waitingOfOne: 2 });
    for (const client of ['a', 'a', 'a', 'b']) ask(client);
    await settled();
    expect(await codeOfAsync(queue.enter('a', signal))).toBe('rate-limited');
    ask('c');
    await settled();
    expect(await codeOfAsync(queue.enter('d', signal))).toBe('all-busy');
  });
});
