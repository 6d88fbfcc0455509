import { EventEmitter } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { beforeEach, describe, expect, it } from 'vitest';
import { createWorkChecks, type WorkChecks } from '../../../signal-server/admission/work-checks.ts';
import type { CheckReply, WorkCheck } from '../../../signal-server/admission/check-message.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** A thread that answers when it is told to. */
class StillThread extends EventEmitter {
  readonly asked: WorkCheck[] = [];
  isEnded = false;
  postMessage(check: WorkCheck): void {
    this.asked.push(check);
  }
  answer(reply: CheckReply): void {
    this.emit('message', reply);
  }
  unref(): void {}
  async terminate(): Promise<number> {
    this.isEnded = true;
    return 0;
  }
}

describe('shown work', () => {
  let clock: FakeClock;
  let threads: StillThread[];
  let checks: WorkChecks;
  beforeEach(() => {
    clock = new FakeClock();
    threads = [];
    const spawn = () => {
      threads.push(new StillThread());
      return threads.at(-1) as unknown as Worker;
    };
    checks = createWorkChecks({ clock, waitingPerAddress: 2, spawn });
  });

  const checkOf = (tries: number): WorkCheck => ({ seed: new Uint8Array(32), tries, shown: [] });
  const outcomeOf = (client: string, tries: number) =>
    checks.check(client, checkOf(tries)).catch(({ code }: { code: string }) => code);

  it('is checked one after the other, in turns by address', async () => {
    const outcomes = [outcomeOf('a', 1), outcomeOf('a', 2), outcomeOf('a', 3), outcomeOf('b', 4)];
    for (let i = 0; i < 4; i++) threads[0]!.answer({ isRight: i % 2 === 0 });
    expect(threads[0]!.asked.map(({ tries }) => tries)).toEqual([1, 2, 4, 3]);
    expect(await Promise.all(outcomes)).toEqual([true, false, false, true]);
    expect(threads).toHaveLength(1);
  });

  it('of an address that has too much waiting is not taken, and that of others is', async () => {
    void outcomeOf('a', 1);
    const waiting = [outcomeOf('a', 2), outcomeOf('a', 3)];
    expect(await outcomeOf('a', 4)).toBe('rate-limited');
    const others = outcomeOf('b', 5);
    for (let i = 0; i < 4; i++) threads[0]!.answer({ isRight: true });
    expect(await Promise.all([...waiting, others])).toEqual([true, true, true]);
  });

  it('does not wait for a thread that is stuck: the next gets a fresh one', async () => {
    const outcomes = [outcomeOf('a', 1), outcomeOf('a', 2)];
    await clock.advance(60_000);
    expect(await outcomes[0]).toBe('server-lost');
    expect(threads.map(({ isEnded }) => isEnded)).toEqual([true, false]);
    threads[0]!.answer({ isRight: true });
    threads[1]!.answer({ isRight: false });
    expect(await outcomes[1]).toBe(false);
  });

  it('is let go when the server stops', async () => {
    const outcomes = [outcomeOf('a', 1), outcomeOf('a', 2)];
    checks.stop();
    expect(await Promise.all([...outcomes, outcomeOf('a', 3)])).toEqual(['cancelled', 'cancelled', 'cancelled']);
  });
});
