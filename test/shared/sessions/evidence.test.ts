import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { LAST_RECORD_MS } from '#shared/limits.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import { checkedNetwork, only, prompt, scaled } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import { ToyNetwork } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});

/** The input of a session's stage 0, as its messages say: the tokens it holds, and the runs of which something is left. */
function fedTo(network: ToyNetwork, { route }: Evidence): Pick<Evidence, 'tokens' | 'runs'> {
  const to = route.stages[0]!.primary.id;
  const tokens: number[] = [];
  let runs: Evidence['runs'][number][] = [];
  for (const { message, to: receiver } of network.links.log) {
    if (receiver !== to || !('session' in message) || message.session !== route.session) continue;
    if (message.type === 'cut') {
      tokens.length = message.position;
      runs = runs.filter(({ start }) => start < message.position);
    } else if (message.type === 'rows') {
      const { start, count, bytes } = message.rows;
      expect(start).toBe(tokens.length);
      tokens.push(...new Uint32Array(bytes.slice().buffer));
      runs.push({ start, count, logits: Math.max(0, start + count - Math.max(start, message.logitsFrom)) });
    }
  }
  return { tokens, runs };
}

/** Everything that holds of any evidence, whatever happened on the way. */
async function expectGood(network: ToyNetwork, evidence: Evidence): Promise<ReturnType<typeof receiptOf>> {
  const { tokens, positions, promptTokens, sampling, spans } = evidence;
  const fed = fedTo(network, evidence);
  expect(tokens.slice(0, positions)).toEqual(fed.tokens);
  expect(evidence.runs).toEqual(fed.runs);
  const answer = tokens.slice(promptTokens);
  expect(toyAnswer(tokens.slice(0, promptTokens), answer.length, sampling)).toEqual(answer);
  expect(spans.map(({ start }) => start)).toEqual([0, ...spans.slice(0, -1).map(({ end }) => end)]);
  expect(spans.at(-1)!.end).toBe(positions);
  const made = await receiptOf(evidence);
  expect(failedChecks(made.verification)).toEqual([]);
  return made;
}

describe('the evidence of an answer', () => {
  it.each([1, 32, 70])('to a prompt of %i tokens makes a receipt that verifies', async (length) => {
    const network = checkedNetwork();
    const { events, tokens } = await network.ask(network.conversation(), greedy(prompt(length)));
    const evidence = evidenceOf(events);
    const { predicate, verification } = await expectGood(network, evidence);
    expect(evidence).toMatchObject({ tier: 'checked', maxNewTokens: 24, promptTokens: length, faults: [] });
    expect(evidence.tokens).toEqual([...prompt(length), ...tokens]);
    expect(evidence.attestations).toHaveLength(6);
    expect(predicate.stages.every(({ replicas }) => replicas.every(({ signed }) => signed !== null))).toBe(true);
    expect(predicate.verdict).toEqual({ tier: 'checked', counts: evidence.counts });
    expect(predicate.request.seedCommitment).not.toBeNull();
    for (const name of ['tokens', 'prompt', 'chains', 'attestation-match', 'verdict']) {
      expect(verification.checks.find((check) => check.name === name)?.status).toBe('passed');
    }
  });

  it('comes without a wait where all are well', async () => {
    const network = checkedNetwork();
    let lastVerdictMs = 0;
    await network.ask(network.conversation(), greedy(prompt(40)), ({ type }) => {
      if (type === 'checked') lastVerdictMs = network.clock.nowMs();
    });
    expect(network.clock.nowMs() - lastVerdictMs).toBeLessThan(10);
  });

  it('has another salt in each answer', async () => {
    const network = checkedNetwork();
    const conversation = network.conversation();
    const salts = [];
    for (const length of [3, 5]) {
      const { events } = await network.ask(conversation, greedy(prompt(length), 4));
      salts.push(evidenceOf(events).salt.join());
    }
    expect(new Set(salts).size).toBe(2);
  });

  it('has the times of the wall clock', async () => {
    const network = checkedNetwork();
    await network.clock.advance(4_000);
    const startedAtMs = network.clock.wallMs();
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(evidenceOf(events)).toMatchObject({ startedAtMs, finishedAtMs: network.clock.wallMs() });
  });

  it('is of the session in which the answer ended, and names the liar of the one before', async () => {
    const network = checkedNetwork(['referee'], 4);
    const liar = network.of(1)[0]!;
    liar.compute.tamper = scaled(-1, 50);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40), 40));
    expect(only(events, 'rerouted')).toHaveLength(1);
    const evidence = evidenceOf(events);
    const { predicate } = await expectGood(network, evidence);
    expect(evidence.route).toEqual(network.routes[1]);
    expect(evidence.faults).toEqual([
      { volunteer: liar.id, stage: 1, role: 'primary', code: 'disagreement', isProven: true },
    ]);
    expect(predicate.faults).toEqual(evidence.faults);
    expect(predicate.verdict.tier).toBe('checked');
    expect(evidence.attestations.map(({ replica }) => replica)).not.toContain(liar.id);
  });

  it('of a shadow that lied has the span as settled, and no record of the shadow', async () => {
    const network = checkedNetwork(['referee'], 3);
    network.shadows = 2;
    const liar = network.of(1)[1]!;
    liar.compute.tamper = scaled(-1, 0);
    const { events } = await network.ask(network.conversation({ shadows: 2 }), greedy(prompt(40)));
    const evidence = evidenceOf(events);
    const { predicate } = await expectGood(network, evidence);
    expect(evidence.faults).toMatchObject([{ volunteer: liar.id, role: 'shadow' }]);
    expect(evidence.attestations).toHaveLength(8);
    expect(predicate.verdict.tier).toBe('settled');
  });

  it('covers a chat from its beginning, with what a cut took judged anew', async () => {
    const network = checkedNetwork();
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(70), 20));
    const before = evidenceOf(first.events);
    const whole = [...prompt(70), ...first.tokens];
    const followed = await network.ask(conversation, greedy([...whole, 3, 9], 20));
    await expectGood(network, evidenceOf(followed.events));
    // Back into the middle of the prompt, whose second chunk ran in one piece.
    const edited = await network.ask(conversation, greedy([...prompt(70).slice(0, 45), 5, 6, 7], 20));
    const evidence = evidenceOf(edited.events);
    const { predicate } = await expectGood(network, evidence);
    expect(network.routes).toHaveLength(1);
    expect(evidence.runs.slice(0, 3)).toMatchObject([
      { start: 0, count: 32 },
      { start: 32, count: 32 },
      { start: 45, count: 3 },
    ]);
    expect(predicate.verdict.tier).toBe('checked');
    expect(before.tokens).toEqual(whole);
    expect(before.spans.at(-1)!.end).toBe(before.positions);
  });

  it('of the same prompt again has its last position judged anew', async () => {
    const network = checkedNetwork();
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(40), 10));
    const { events } = await network.ask(conversation, greedy(prompt(40), 10));
    await expectGood(network, evidenceOf(events));
  });

  it('of an answer that nobody checked has what the primaries signed, and is unchecked', async () => {
    const network = new ToyNetwork();
    const { events } = await network.ask(network.conversation({ shadows: 0 }), greedy(prompt(40)));
    const evidence = evidenceOf(events);
    const { predicate, verification } = await expectGood(network, evidence);
    expect(evidence).toMatchObject({ tier: 'unchecked', anchor: null });
    expect(evidence.attestations.map(({ replica }) => replica)).toEqual(network.volunteers.map(({ id }) => id));
    expect(predicate.verdict.tier).toBe('unchecked');
    expect(verification.checks.find(({ name }) => name === 'chains')?.status).toBe('passed');
  });

  it('of an unchecked answer goes without those who cannot be reached', async () => {
    const network = new ToyNetwork();
    const middle = network.of(1)[0]!;
    const { id, requester } = network.requester();
    const links = network.links.peer(id)!;
    const connect = links.connect.bind(links);
    links.connect = (peer, options) =>
      peer === middle.id ? Promise.reject(new ChorusError('link-lost', 'nobody there')) : connect(peer, options);
    const conversation = requester.openConversation(network.model, { shadows: 0 });
    const { events } = await network.ask(conversation, greedy(prompt(40), 4));
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(evidence.attestations).toHaveLength(2);
  });

  it('is not there for an answer that is cancelled', async () => {
    const network = checkedNetwork();
    const abort = new AbortController();
    const { events } = await network.ask(
      network.conversation(),
      greedy(prompt(40)),
      (event) => event.type === 'token' && abort.abort(),
      abort.signal,
    );
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'cancelled', evidence: null });
  });

  it('is not there for an answer that is cancelled while its records come in', async () => {
    const network = checkedNetwork();
    const abort = new AbortController();
    network.links.fate = (message) => {
      if (message.type === 'record') abort.abort();
      return [1];
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)), () => undefined, abort.signal);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'cancelled', evidence: null });
  });

  it('has the records there are where a primary leaves while they come in', async () => {
    const network = checkedNetwork();
    let asked = 0;
    network.links.fate = (message) => {
      if (message.type === 'record' && ++asked === 1) {
        network.clock.setTimer(() => network.links.kill(network.of(2)[0]!.id), 2.5);
        return [1];
      }
      return message.type === 'record' ? [5] : [1];
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(evidence.attestations.map(({ replica }) => replica)).toEqual([network.of(0)[0]!.id]);
    expect(only(events, 'rerouted')).toEqual([]);
  });

  it('waits for a replica that does not sign no longer than it may, and claims less', async () => {
    const network = checkedNetwork();
    const silent = network.of(1)[1]!.id;
    network.links.fate = (message, from) => (message.type === 'recorded' && from === silent ? [] : [1]);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    const evidence = evidenceOf(events);
    const { predicate } = await expectGood(network, evidence);
    expect(evidence).toMatchObject({ tier: 'checked', faults: [] });
    expect(evidence.attestations).toHaveLength(5);
    expect(predicate.verdict.tier).toBe('unchecked');
    expect(network.clock.nowMs()).toBeGreaterThan(LAST_RECORD_MS);
    expect(network.clock.nowMs()).toBeLessThan(2 * LAST_RECORD_MS);
  });

  it('is taken over another session before one has signed as often as it may', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation({ shadows: 0 });
    for (let i = 0; i < 130; i++) {
      const { events } = await network.ask(conversation, greedy(prompt(4), 1));
      expect(evidenceOf(events).attestations).toHaveLength(3);
    }
    expect(network.routes).toHaveLength(2);
    expect(network.releases).toMatchObject([{ outcome: 'done', faults: [] }]);
  });
});

describe('the evidence of a chat', () => {
  it('is good however slow and uneven replicas and links are, and wherever a history is edited', async () => {
    const delay = fc.integer({ min: 1, max: 40 });
    const history = fc.record({
      shared: fc.nat(80),
      added: fc.integer({ min: 1, max: 70 }),
      count: fc.nat(12),
      /** Events after which it is cancelled. */
      patience: fc.option(fc.nat(8)),
    });
    const histories = fc.array(history, { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(histories, fc.infiniteStream(delay), async (asks, delays) => {
        const network = checkedNetwork([]);
        for (const { compute } of network.volunteers) compute.runMs = delays.next().value as number;
        // Links keep order.
        const arrivals = new Map<string, number>();
        network.links.fate = (_message, from, to) => {
          const nowMs = network.clock.nowMs();
          const atMs = Math.max(arrivals.get(`${from} ${to}`) ?? 0, nowMs + (delays.next().value as number));
          arrivals.set(`${from} ${to}`, atMs);
          return [atMs - nowMs];
        };
        const conversation = network.conversation();
        let whole: number[] = [];
        for (const { shared, added, count, patience } of asks) {
          const promptTokens = [...whole.slice(0, shared), ...prompt(added)];
          const abort = new AbortController();
          let heard = 0;
          const onEvent = () => heard++ === patience && abort.abort();
          const asked = network.ask(conversation, greedy(promptTokens, count + 1), onEvent, abort.signal);
          const { events, tokens } = await asked;
          if (abort.signal.aborted) {
            expect(events.at(-1)).toMatchObject({ type: 'end' });
            continue;
          }
          const { predicate } = await expectGood(network, evidenceOf(events));
          expect(only(events, 'fault')).toEqual([]);
          expect(predicate.verdict.tier).toBe('checked');
          whole = [...promptTokens, ...tokens];
        }
      }),
      { numRuns: 10 },
    );
  }, 60_000);
});

describe('what the evidence says was asked', () => {
  it('is what ran, though the request was changed when it had begun', async () => {
    const network = checkedNetwork();
    const sampling = { temperature: 0.9, topP: 0.95, seed: 5 };
    const request = { promptTokens: prompt(40), maxNewTokens: 24, sampling };
    const { events } = await network.ask(network.conversation(), request, ({ type }) => {
      if (type !== 'routed') return;
      Object.assign(sampling, { temperature: 0, topP: 1, seed: 6 });
      request.promptTokens.fill(1);
      request.maxNewTokens = 3;
    });
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(evidence.sampling).toEqual({ temperature: 0.9, topP: 0.95, seed: 5 });
    expect(evidence.tokens.slice(0, 40)).toEqual(prompt(40));
    expect(evidence.maxNewTokens).toBe(24);
  });

  it('has the room that there was where more was asked for', async () => {
    const network = checkedNetwork();
    const long = prompt(2040);
    const { events } = await network.ask(network.conversation(), greedy(long, 100));
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(evidence.maxNewTokens).toBe(8);
  });

  it('ends with the token that made the answer complete, which is not fed', async () => {
    const network = checkedNetwork();
    const request = { ...greedy(prompt(40)), isComplete: (answer: readonly number[]) => answer.length === 5 };
    const { events, tokens } = await network.ask(network.conversation(), request);
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(evidence.tokens).toEqual([...prompt(40), ...tokens]);
    expect(evidence.positions).toBe(44);
    expect(evidence.maxNewTokens).toBe(24);
  });

  it('has every token fed where the model ended the answer itself', async () => {
    const network = checkedNetwork();
    const length = [...Array(60).keys()].find((at) => toyAnswer(prompt(at + 1), 40).length < 40)! + 1;
    const { events } = await network.ask(network.conversation(), greedy(prompt(length), 40));
    const evidence = evidenceOf(events);
    await expectGood(network, evidence);
    expect(events.at(-1)).toMatchObject({ reason: 'stop' });
    expect(evidence.positions).toBe(evidence.tokens.length);
  });

  it('stays as it was, whatever the conversation does next', async () => {
    const network = checkedNetwork();
    const conversation = network.conversation();
    const { events } = await network.ask(conversation, greedy(prompt(40)));
    const evidence = evidenceOf(events);
    const copy = structuredClone(evidence);
    await network.ask(conversation, greedy(prompt(20)));
    conversation.close();
    expect(evidence).toEqual(copy);
    expect(failedChecks((await receiptOf(evidence)).verification)).toEqual([]);
  });
});
