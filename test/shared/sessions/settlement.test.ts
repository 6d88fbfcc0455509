import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { checkedNetwork, only, prompt, scaled, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import { collect, type ToyNetwork } from '../../support/toy-network.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});
const never = new AbortController().signal;

/** A network in which the primary of stage 1 lies from `start` on; it can do without the two that differ. */
function withLiar(start = 0, reserves: readonly ('arbiter' | 'referee')[] = ['referee']) {
  const network = checkedNetwork(reserves, 4);
  const [liar, honest] = network.of(1);
  liar!.compute.tamper = scaled(-1, start);
  const referee = network.of(1).find(({ reserve }) => reserve === 'referee')!;
  return { network, liar: liar!, honest: honest!, referee };
}

/** Changes what one peer sends. */
function rewrite(network: ToyNetwork, by: PeerId, change: (message: PeerMessage) => PeerMessage): void {
  network.links.rewrite = (message, from) => (from === by ? change(message) : message);
}

describe('while a difference is settled', () => {
  it('nothing new is fed', async () => {
    const { network, referee } = withLiar(50);
    referee.compute.runMs = 300;
    const sentAt: number[] = [];
    let settling = { from: 0, to: 0 };
    network.links.fate = (message) => {
      if (message.type === 'rows' && message.rows.kind === 'tokens' && message.session === network.routes[0]?.session) {
        sentAt.push(network.clock.nowMs());
      }
      return [1];
    };
    await network.ask(network.conversation(), greedy(prompt(40), 60), (event) => {
      if (event.type === 'settling') settling = { from: network.clock.nowMs(), to: Infinity };
      if (event.type === 'rerouted') settling = { ...settling, to: network.clock.nowMs() };
    });
    expect(settling.to - settling.from).toBeGreaterThan(500);
    expect(sentAt.filter((ms) => ms > settling.from && ms < settling.to)).toEqual([]);
  });

  it('an answer can be cancelled; the liar is named to the server all the same', async () => {
    const { network, liar } = withLiar();
    const abort = new AbortController();
    const conversation = network.conversation();
    const stop = (event: AnswerEvent) => event.type === 'settling' && abort.abort();
    const { events } = await network.ask(conversation, greedy(prompt(40)), stop, abort.signal);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'cancelled', tier: 'unchecked' });
    await network.clock.advance(5_000);
    expect(network.reports).toMatchObject([{ accused: liar.id }]);
    expect((await network.ask(conversation, greedy(prompt(30), 8))).tokens).toEqual(toyAnswer(prompt(30), 8));
    expect(network.routes.at(-1)!.stages[1]!.primary.id).not.toBe(liar.id);
  });

  it('the next answer waits, and is made by others', async () => {
    const { network, liar, referee } = withLiar();
    referee.compute.runMs = 300;
    const abort = new AbortController();
    const conversation = network.conversation();
    const stop = (event: AnswerEvent) => event.type === 'settling' && abort.abort();
    await network.ask(conversation, greedy(prompt(40)), stop, abort.signal);
    const edited = [...prompt(40).slice(0, 20), 5];
    const { events } = await network.ask(conversation, greedy(edited, 8));
    expect(standing(events, edited.length)).toEqual(toyAnswer(edited, 8));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it('the next answer gets no verdict that is on the answer before', async () => {
    const { network, liar, honest, referee } = withLiar();
    [liar.compute.tamper, honest.compute.tamper] = [honest.compute.tamper, scaled(-1, 0)];
    referee.compute.runMs = 3_000;
    const abort = new AbortController();
    const conversation = network.conversation();
    const stop = (event: AnswerEvent) => event.type === 'settling' && abort.abort();
    await network.ask(conversation, greedy(prompt(40)), stop, abort.signal);
    const edited = [...prompt(40).slice(0, 20), 5];
    let fed = 0;
    const { events } = await network.ask(conversation, greedy(edited, 40), (event) => {
      if (event.type === 'token') fed = event.position;
      if (event.type === 'checked') expect(event.check.end).toBeLessThanOrEqual(Math.max(edited.length, fed));
    });
    expect(standing(events, edited.length)).toEqual(toyAnswer(edited, 40));
    const { check } = only(events, 'checked')[0]!;
    expect(check).toMatchObject({ tier: 'checked' });
    expect(check.end).toBeGreaterThan(20);
    expect(network.routes).toHaveLength(2);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: honest.id, role: 'shadow', isProven: true }]);
  });

  it('what is heard of sessions before is nothing to it', async () => {
    const { network, liar, referee } = withLiar();
    const conversation = network.conversation();
    const session = 'f'.repeat(32) as SessionId;
    const late = () => {
      if (network.replays.length === 0) return;
      const error = new ChorusError('timeout', 'a volunteer cannot be reached');
      conversation.take({ type: 'connect-failed', session, peer: referee.id, error });
      const fault = { type: 'fault', session, stage: 0, code: 'timeout', message: '', volunteer: null } as const;
      conversation.take({ type: 'message', from: referee.id, message: fault });
    };
    for (let atMs = 0; atMs < 500; atMs++) network.clock.setTimer(late, atMs);
    const { events } = await network.ask(conversation, greedy(prompt(40)));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it('everything is given back when the conversation closes', async () => {
    const { network, referee } = withLiar();
    referee.compute.runMs = 1_000;
    const conversation = network.conversation();
    const reading = (async () => {
      for await (const event of conversation.generate({ ...greedy(prompt(40)), signal: never })) {
        if (event.type !== 'settling') continue;
        await network.clock.advance(500);
        return;
      }
    })();
    await network.until(reading);
    conversation.close();
    await network.clock.advance(25_000);
    expect(network.openSessions).toBe(0);
    expect(network.releases).toHaveLength(network.routes.length + network.replays.length);
  });

  it('the primary may leave, and the answer goes on without it', async () => {
    const { network, liar, referee } = withLiar();
    referee.compute.runMs = 300;
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)), (event) => {
      if (event.type === 'settling') network.links.kill(liar.id);
    });
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it('the honest shadow may leave, and the liar is named nevertheless', async () => {
    const { network, liar, honest, referee } = withLiar();
    referee.compute.runMs = 300;
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)), (event) => {
      if (event.type === 'settling') network.links.kill(honest.id);
    });
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault').filter(({ isProven }) => isProven)).toMatchObject([{ volunteer: liar.id }]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });
});

describe('a referee', () => {
  it('that never answers is given up after a minute', async () => {
    const { network, referee } = withLiar();
    network.links.fate = (message, from) => (from === referee.id && message.type === 'commit' ? [] : [1]);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault')).toEqual([]);
    expect(network.releases.find(({ session }) => session === network.replays[0]!.route.session)).toMatchObject({
      outcome: 'failed',
    });
    await network.clock.advance(1_000);
    expect(referee.host.sessionCount).toBe(0);
  });

  it('that sides with nobody has the answer made by two others', async () => {
    const { network, referee } = withLiar();
    referee.compute.tamper = scaled(3, 0);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it.each<[string, (message: PeerMessage) => PeerMessage]>([
    [
      'whose commit is not of the rows it gave',
      (message) =>
        message.type === 'commit'
          ? {
              ...message,
              commit: { ...message.commit, statement: { ...message.commit.statement, outputTo: new Uint8Array(32) } },
            }
          : message,
    ],
    [
      'whose commit is not signed by it',
      (message) =>
        message.type === 'commit'
          ? { ...message, commit: { ...message.commit, signature: new Uint8Array(64) } }
          : message,
    ],
    [
      'whose reveal is under another seed',
      (message) =>
        message.type === 'reveal'
          ? {
              ...message,
              reveal: { ...message.reveal, statement: { ...message.reveal.statement, seed: new Uint8Array(32) } },
            }
          : message,
    ],
    [
      'whose reveal is of other rows',
      (message) =>
        message.type === 'reveal'
          ? {
              ...message,
              reveal: {
                ...message.reveal,
                statement: {
                  ...message.reveal.statement,
                  output: new Uint8Array(message.reveal.statement.output.length),
                },
              },
            }
          : message,
    ],
  ])('%s has no say', async (_, change) => {
    const { network, referee } = withLiar();
    rewrite(network, referee.id, change);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault')).toEqual([]);
    expect(network.reports).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
  });
});

describe('a liar by a single bit, in a token run by itself', () => {
  /** The answer where the primary of stage 1 flips the lowest bit of its rows from position 50 on, and all but the thirds are of a class. */
  async function answer(
    numericClass: string,
    thirds: Partial<Record<'arbiter' | 'referee', string>>,
    isArbiterNew = false,
  ): Promise<{ network: ToyNetwork; liar: PeerId; events: AnswerEvent[] }> {
    const network = checkedNetwork(Object.keys(thirds) as ('arbiter' | 'referee')[], 4);
    for (const volunteer of network.volunteers) {
      if (isArbiterNew && volunteer.reserve === 'arbiter') volunteer.isUnproven = true;
      volunteer.numericClass = (volunteer.reserve && thirds[volunteer.reserve]) ?? numericClass;
    }
    const [liar] = network.of(1);
    liar!.compute.tamper = (rows) => {
      const bytes = rows.bytes.slice();
      if (rows.start >= 50 && rows.count === 1) bytes[0]! ^= 1;
      return { ...rows, bytes };
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    return { network, liar: liar!.id, events };
  }

  it('is named and proven where its shadow and the referee are of the engine like it', async () => {
    const { network, liar, events } = await answer(ENGINE_CLASS, { referee: ENGINE_CLASS });
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar, role: 'primary', isProven: true }]);
    expect(network.reports).toMatchObject([{ accused: liar, reason: 'disagreement' }]);
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it('is named by an arbiter of the engine where the referee is of the runtime, which is near to both', async () => {
    const { network, liar, events } = await answer(ENGINE_CLASS, { arbiter: ENGINE_CLASS, referee: RUNTIME_CLASS });
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar, role: 'primary', isProven: false }]);
    expect(network.reports).toEqual([]);
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
  });

  it('is not named by an arbiter whose key is new, for whoever lies has as many of these as it likes', async () => {
    const thirds = { arbiter: ENGINE_CLASS, referee: RUNTIME_CLASS };
    const { network, events } = await answer(ENGINE_CLASS, thirds, true);
    expect(network.replays.map(({ role }) => role)).toEqual(['arbiter', 'referee']);
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
  });

  it('is not cleared by a referee of the runtime alone: the answer is made by two others', async () => {
    const { network, liar, events } = await answer(ENGINE_CLASS, { referee: RUNTIME_CLASS });
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    expect(JSON.stringify(network.routes[1])).not.toContain(liar);
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
  });

  it('is within tolerance where both are of the runtime, whose bits depend on the runs', async () => {
    const { network, events } = await answer(RUNTIME_CLASS, { referee: RUNTIME_CLASS });
    expect([only(events, 'fault'), only(events, 'settling'), network.replays]).toEqual([[], [], []]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });
});

describe('the rows that a referee needs', () => {
  it('come from the primary where the shadow gives others than it committed to', async () => {
    const { network, liar, honest } = withLiar();
    rewrite(network, honest.id, (message) =>
      message.type === 'recalled'
        ? { ...message, rows: { ...message.rows, bytes: new Uint8Array(message.rows.bytes.length) } }
        : message,
    );
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
  });

  it('come from the primary where the shadow does not answer', async () => {
    const { network, liar, honest } = withLiar();
    network.links.fate = (message, from) => (from === honest.id && message.type === 'recalled' ? [] : [1]);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
  });

  it('come from nobody: then nobody can settle it', async () => {
    const { network } = withLiar();
    network.links.fate = (message) => (message.type === 'recalled' ? [] : [1]);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault')).toEqual([]);
  });

  it('are recalled chunk by chunk for a late span of a long history', async () => {
    const { network, liar } = withLiar(300);
    const { events } = await network.ask(network.conversation(), greedy(prompt(400), 8));
    expect(standing(events, 400)).toEqual(toyAnswer(prompt(400), 8));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, start: 288, end: 320, isProven: true }]);
  });

  it('are those of the second answer of a chat, after a cut', async () => {
    const { network, liar } = withLiar(10_000);
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(70), 10));
    liar.compute.tamper = scaled(-1, 40);
    const edited = [...prompt(70).slice(0, 50), 3, 9, 27];
    const { events } = await network.ask(conversation, greedy(edited, 10));
    expect(standing(events, edited.length)).toEqual(toyAnswer(edited, 10));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
  });
});

describe('honest replicas', () => {
  it('are never accused, however slow and uneven they and their links are', async () => {
    const delay = fc.integer({ min: 1, max: 60 });
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(delay), fc.infiniteStream(delay), async (delays, runs) => {
        const network = checkedNetwork([], 2);
        for (const volunteer of network.volunteers) {
          volunteer.compute.runMs = runs.next().value as number;
          // No tolerance hides a difference that cuts or other runs would make.
          volunteer.numericClass = ENGINE_CLASS;
        }
        // Links keep order.
        const arrivals = new Map<string, number>();
        network.links.fate = (_message, from, to) => {
          const link = `${from} ${to}`;
          const nowMs = network.clock.nowMs();
          const atMs = Math.max(arrivals.get(link) ?? 0, nowMs + (delays.next().value as number));
          arrivals.set(link, atMs);
          return [atMs - nowMs];
        };
        const conversation = network.conversation();
        for (const each of [prompt(100), prompt(100).slice(0, 50), [...prompt(100).slice(0, 50), 4, 5]]) {
          const { tokens, events } = await network.ask(conversation, greedy(each, 40));
          expect(tokens).toEqual(toyAnswer(each, 40));
          expect(only(events, 'fault')).toEqual([]);
          expect(events.at(-1)).toMatchObject({ tier: 'checked' });
        }
        expect(network.routes).toHaveLength(1);
      }),
      { numRuns: 15 },
    );
  }, 60_000);

  it('check the answers of several conversations at once', async () => {
    const network = checkedNetwork();
    const prompts = [prompt(3), prompt(33), prompt(90)];
    const answers = prompts.map((each, i) => {
      const conversation = network.requester(`requester ${i}`).requester.openConversation(network.model);
      return collect(conversation, { ...greedy(each), signal: never });
    });
    const results = await network.until(Promise.all(answers));
    expect(results.map(({ tokens }) => tokens)).toEqual(prompts.map((each) => toyAnswer(each, 24)));
    for (const { events } of results) expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });
});
