import { beforeEach, describe, expect, it } from 'vitest';
import type { Ask, Question, Reply } from '#shared/ask.ts';
import type { Now } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import { EngineLoop } from '#shared/peer/engine-loop.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { toyIdentity, toySignature, toyVerify } from '../../support/toy-network.ts';

type Event = { readonly type: 'ask'; readonly what: Question } | { readonly type: 'time' };
type Effect = { readonly type: 'heard'; readonly reply: Reply };

/** Asks what it is told to, and says what it hears; a second after that it wants to be woken. */
class AskingEngine {
  deadlineMs = Infinity;
  readonly times: number[] = [];

  handle(event: Event, { nowMs }: Now): (Effect | Ask<Effect>)[] {
    if (event.type === 'time') {
      this.times.push(nowMs);
      this.deadlineMs = Infinity;
      return [];
    }
    return [{ type: 'ask', what: event.what, then: (reply, now) => this.#hear(reply, now) }];
  }

  #hear(reply: Reply, { nowMs }: Now): Effect[] {
    this.deadlineMs = nowMs + 1000;
    return [{ type: 'heard', reply }];
  }
}

const identity = toyIdentity('asker');
const bytes = new Uint8Array([1, 2, 3]);

describe('what an engine asks of its loop', () => {
  const clock = new FakeClock();
  let engine: AskingEngine;
  let heard: Reply[];
  let loop: EngineLoop<Event, Effect>;
  let key: Pick<typeof identity, 'sign'>;

  beforeEach(() => {
    engine = new AskingEngine();
    heard = [];
    key = identity;
    loop = new EngineLoop<Event, Effect>(engine, {
      clock,
      identity: { sign: (message) => key.sign(message) },
      verify: toyVerify,
      timeEvent: { type: 'time' },
      perform: ({ reply }) => heard.push(reply),
    });
  });

  it('is signed with its key, and verified', async () => {
    const signature = toySignature(identity.publicKey, bytes);
    loop.dispatch({ type: 'ask', what: { type: 'sign', bytes } });
    loop.dispatch({ type: 'ask', what: { type: 'verify', publicKey: identity.publicKey, bytes, signature } });
    loop.dispatch({ type: 'ask', what: { type: 'verify', publicKey: bytes, bytes, signature } });
    expect(heard).toEqual([]);
    await settle();
    expect(heard).toEqual([signature, true, false]);
  });

  it('sets the timer anew once it is answered', async () => {
    loop.dispatch({ type: 'ask', what: { type: 'sign', bytes } });
    await settle();
    const atMs = clock.nowMs() + 1000;
    await clock.advance(5000);
    expect(engine.times).toEqual([atMs]);
  });

  it('comes back as an error where the key does no work', async () => {
    key = { sign: () => Promise.reject(new Error('the key is gone')) };
    loop.dispatch({ type: 'ask', what: { type: 'sign', bytes } });
    await settle();
    expect(heard).toEqual([new ChorusError('internal', 'the key is gone', {}, 'the key is gone')]);
  });

  it('is not answered to an engine whose loop has stopped', async () => {
    loop.dispatch({ type: 'ask', what: { type: 'sign', bytes } });
    loop.stop();
    await settle();
    expect(heard).toEqual([]);
    expect(engine.deadlineMs).toBe(Infinity);
  });
});
