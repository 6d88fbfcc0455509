import { describe, expect, it } from 'vitest';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { MAX_REDRAWS } from '#shared/limits.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { replayReceipt } from '#shared/receipt/replay/replay-receipt.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Sampling } from '#shared/rows/sampler.ts';
import { bend, bendLogits, lift, push, steer, type BendRow } from '../../support/bent-logits.ts';
import { checkedNetwork, only, prompt, standing, wrongShown } from '../../support/checked-network.ts';
import { realClock } from '../../support/real-clock.ts';
import { toyAnswer, ToyCompute, toyManifest } from '../../support/toy-model.ts';
import type { ToyNetwork } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

const MADE_UP = 'webgpu/apple/m9';
const MEASURED = 'webgpu/google/swiftshader';
/** Its limits beside the other were measured, but its bits are those of another module than the one here. */
const OTHER_ENGINE = 'int16/ffffffffffffffff';
const WARM: Sampling = { temperature: 1, topP: 1, seed: 4 };
const COLD: Sampling = { temperature: 0, topP: 1, seed: 0 };

/** The classes of the last stage's primary and shadow, of those that take their place, and of thirds; the rest is of the engine. */
interface Classes {
  readonly primary: string;
  readonly shadow: string;
  readonly arbiter?: string;
  readonly referee?: string;
}

/** A network whose last stage is of these classes; the replicas that lie bend their logits. */
function network(classes: Classes, liars: readonly (keyof Classes)[], bent: BendRow, replicas = 4): ToyNetwork {
  const reserves = (['arbiter', 'referee'] as const).filter((role) => classes[role] !== undefined);
  const made = checkedNetwork(reserves, replicas);
  for (const volunteer of made.volunteers) volunteer.numericClass = ENGINE_CLASS;
  const [primary, shadow] = made.of(2);
  const third = (role: 'arbiter' | 'referee') => made.of(2).find(({ reserve }) => reserve === role);
  const by = { primary, shadow, arbiter: third('arbiter'), referee: third('referee') };
  for (const [role, volunteer] of Object.entries(by) as [keyof Classes, (typeof by)['primary']][]) {
    if (volunteer === undefined) continue;
    volunteer.numericClass = classes[role]!;
    if (liars.includes(role)) volunteer.compute.tamper = bendLogits(bent);
  }
  return made;
}

const ask = (made: ToyNetwork, sampling: Sampling, count = 24, length = 40) =>
  made.ask(made.conversation(), { promptTokens: prompt(length), maxNewTokens: count, sampling });

/** No token is shown as better than unchecked that is not the honest one, and the honest text stands. */
function expectHonest(events: readonly AnswerEvent[], sampling: Sampling, count = 24, length = 40): void {
  const truth = toyAnswer(prompt(length), count, sampling);
  expect(wrongShown(events, truth, length)).toEqual([]);
  expect(standing(events, length)).toEqual(truth);
}

describe.each([
  ['at temperature 0', COLD],
  ['at temperature 1', WARM],
])('%s, a primary of a class that it made up, beside an exact shadow,', (_, sampling) => {
  it.each([0.01, 0.1, 0.5])('that swaps the two best tokens within %d moves no token', async (gap) => {
    const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], steer(gap));
    const { events } = await ask(made, sampling);
    expectHonest(events, sampling);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it.each([
    ['pushes a token', push(7, 0.02)],
    ['bends toward the runner-up', bend(0.02)],
  ])('that %s moves no token', async (_name, bent) => {
    const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], bent);
    const { events } = await ask(made, sampling);
    expectHonest(events, sampling);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });
});

describe('a draw that is lost', () => {
  it('to an exact shadow goes on in the same session, with no third', async () => {
    const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], bend(0.01));
    const { events } = await ask(made, COLD);
    const [redrawn] = only(events, 'redrawn');
    expect(redrawn).toMatchObject({ stage: 2, volunteer: made.of(2)[1]!.id });
    expect([made.routes.length, made.replays, only(events, 'settling'), only(events, 'fault')]).toEqual([
      1,
      [],
      [],
      [],
    ]);
    expectHonest(events, COLD);
  });

  it('makes a receipt that verifies and says whose draw went on', async () => {
    const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], bend(0.01));
    const { events } = await ask(made, COLD);
    const { predicate, verification } = await receiptOf(evidenceOf(events));
    expect(failedChecks(verification)).toEqual([]);
    const shadow = made.of(2)[1]!.id;
    const ends = only(events, 'redrawn').map(({ from }) => from);
    const drawn = predicate.spans.filter(({ stages }) => stages[2]!.drawnBy === shadow);
    expect(drawn.map(({ end }) => end)).toEqual(ends);
    for (const { end, stages } of drawn)
      expect(stages[2]!.findings[0]!.draws).toMatchObject({ lost: 1, firstLost: end });
  });

  it.each([
    ['cold', COLD, bend(0.01)],
    ['warm', WARM, lift(0.045)],
  ])(
    'makes a %s receipt whose replay draws every token in the bits of the exact replica',
    async (_, sampling, bent) => {
      let events: AnswerEvent[] = [];
      for (let seed = sampling.seed; only(events, 'redrawn').length === 0 && seed < sampling.seed + 20; seed++) {
        const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], bent);
        ({ events } = await ask(made, { ...sampling, seed }, 110, 42));
      }
      const evidence = evidenceOf(events);
      const { predicate } = await receiptOf(evidence);
      const openStage = async (range: StageRange) => {
        const compute = new ToyCompute(range, realClock);
        compute.runMs = 0;
        return { compute, numericClass: ENGINE_CLASS };
      };
      const { tokens, salt } = evidence;
      const replay = { predicate, manifest: toyManifest, tokens, salt, chunks: 'all', openStage } as const;
      const report = await replayReceipt(replay);
      expect(report.tokens).toMatchObject({
        compared: tokens.length - 42,
        equal: tokens.length - 42,
        limit: 0,
        undrawn: 0,
      });
      expect(report.isValid).toBe(true);
    },
  );

  it('again and again has the primary left out of the answer, and nobody accused', async () => {
    const made = network({ primary: MADE_UP, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary'], bend(0.025));
    const { events } = await ask(made, COLD, 150, 42);
    expectHonest(events, COLD, 150, 42);
    expect(only(events, 'redrawn')).toHaveLength(MAX_REDRAWS);
    expect([only(events, 'fault'), made.routes.length]).toEqual([[], 2]);
    expect(JSON.stringify(made.routes[1])).not.toContain(made.of(2)[0]!.id);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it('by the shadow of an exact primary is counted, and changes nothing', async () => {
    const made = network({ primary: ENGINE_CLASS, shadow: MADE_UP, referee: ENGINE_CLASS }, ['shadow'], bend(0.01));
    const { events } = await ask(made, COLD);
    expectHonest(events, COLD);
    const draws = only(events, 'checked').flatMap(({ check }) => check.stages[2]!.findings[0]!.draws ?? []);
    expect(draws.reduce((sum, { drawn }) => sum + drawn, 0)).toBe(24);
    expect(draws.reduce((sum, { lost }) => sum + lost, 0)).toBeGreaterThan(0);
    expect([only(events, 'redrawn'), made.replays, made.routes.length]).toEqual([[], [], 1]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  /** In so long an answer to so long a prompt there are near ties. */
  const [LONG, PROMPT] = [150, 42];

  it('between two of classes that were measured goes to a referee, and its draw goes on', async () => {
    const made = network({ primary: MEASURED, shadow: OTHER_ENGINE, referee: ENGINE_CLASS }, ['primary'], bend(1.2e-3));
    const { events } = await ask(made, COLD, LONG, PROMPT);
    expectHonest(events, COLD, LONG, PROMPT);
    const referees = made.replays.map(({ route }) => route.stages[0]!.primary.id);
    expect(referees.length).toBeGreaterThan(0);
    expect(only(events, 'redrawn').map(({ volunteer }) => volunteer)).toEqual(referees);
    expect([only(events, 'settling'), made.routes.length]).toEqual([[], 1]);
    const { predicate, verification } = await receiptOf(evidenceOf(events));
    expect(failedChecks(verification)).toEqual([]);
    expect(predicate.verdict.tier).toBe('settled');
  });

  it('between two of classes that were measured leaves the span unchecked where no referee is', async () => {
    const made = network({ primary: MEASURED, shadow: OTHER_ENGINE }, ['primary'], bend(1.2e-3));
    const { events } = await ask(made, COLD, LONG, PROMPT);
    expect(wrongShown(events, toyAnswer(prompt(PROMPT), LONG, COLD), PROMPT)).toEqual([]);
    const open = only(events, 'checked').filter(({ check }) => check.tier === 'unchecked');
    expect(open.map(({ check }) => check.stages[2]!.reason)).toContain('draws-differ');
    expect(failedChecks((await receiptOf(evidenceOf(events))).verification)).toEqual([]);
  });

  it('keeps nobody waiting: tokens go on while a referee is asked', async () => {
    const made = network({ primary: MEASURED, shadow: OTHER_ENGINE, referee: ENGINE_CLASS }, ['primary'], bend(1.2e-3));
    made.of(2).find(({ reserve }) => reserve === 'referee')!.compute.runMs = 400;
    let [asked, after] = [false, 0];
    const sampling = COLD;
    const request = { promptTokens: prompt(PROMPT), maxNewTokens: LONG, sampling };
    await made.ask(made.conversation(), request, (event) => {
      asked ||= made.replays.length > 0;
      if (event.type === 'redrawn') asked = false;
      if (asked && event.type === 'token') after += 1;
    });
    expect(after).toBeGreaterThan(20);
  });

  it('by an answer that was cancelled meanwhile leaves the conversation good for the next', async () => {
    const made = network({ primary: MEASURED, shadow: OTHER_ENGINE, referee: ENGINE_CLASS }, ['primary'], bend(1.2e-3));
    made.of(2).find(({ reserve }) => reserve === 'referee')!.compute.runMs = 400;
    const [conversation, abort] = [made.conversation(), new AbortController()];
    const request = { promptTokens: prompt(PROMPT), maxNewTokens: LONG, sampling: COLD };
    const stop = () => made.replays.length > 0 && abort.abort();
    const { events } = await made.ask(conversation, request, stop, abort.signal);
    expect(events.at(-1)).toMatchObject({ reason: 'cancelled', tier: 'unchecked' });
    const next = [...prompt(PROMPT), ...standing(events, PROMPT), 5];
    const again = await made.ask(conversation, { promptTokens: next, maxNewTokens: 8, sampling: COLD });
    expect(standing(again.events, next.length)).toEqual(toyAnswer(next, 8));
    expect(made.routes).toHaveLength(1);
  });
});

describe('rows of a class that nobody measured', () => {
  const league = { primary: MADE_UP, shadow: MADE_UP, arbiter: MADE_UP };

  it.each([
    ['steer', steer(0.1)],
    ['push', push(7, 0.02)],
    ['bend', bend(0.02)],
  ])('are unchecked however many keys in league %s them alike', async (_, bent) => {
    for (const sampling of [COLD, WARM]) {
      const made = network(league, ['primary', 'shadow', 'arbiter'], bent, 2);
      const { events } = await ask(made, sampling);
      expect(wrongShown(events, toyAnswer(prompt(40), 24, sampling), 40)).toEqual([]);
      for (const { check } of only(events, 'checked')) {
        expect(check.stages[2]).toMatchObject({ tier: 'unchecked', reason: 'class-not-measured' });
        expect(check.stages[1]).toMatchObject({ tier: 'checked', reason: null });
      }
      const { verification, predicate } = await receiptOf(evidenceOf(events));
      expect(failedChecks(verification)).toEqual([]);
      expect(predicate.spans[0]!.stages[2]!.reason).toBe('class-not-measured');
    }
  });

  it.each([
    ['in doubt', push(7, 0.08)],
    ['rejected', push(7, 0.3)],
  ])('that are %s are not cleared by an arbiter of that class: a referee is asked at once', async (_, bent) => {
    const made = network({ ...league, shadow: ENGINE_CLASS, referee: ENGINE_CLASS }, ['primary', 'arbiter'], bent);
    const { events } = await ask(made, COLD);
    expectHonest(events, COLD);
    expect(new Set(made.replays.map(({ role }) => role))).toEqual(new Set(['referee']));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
  });

  it.each([
    ['a little', push(7, 0.08)],
    ['much', push(7, 0.3)],
  ])('that differ %s from an exact shadow leave only their own key out, where nobody can tell', async (_, bent) => {
    const made = network({ ...league, shadow: ENGINE_CLASS }, ['primary', 'arbiter'], bent);
    const { events } = await ask(made, COLD);
    expectHonest(events, COLD);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(only(events, 'fault')).toEqual([]);
    const [liar, honest] = made.of(2);
    const last = JSON.stringify(made.routes.at(-1));
    expect([last.includes(liar!.id), last.includes(honest!.id)]).toEqual([false, true]);
  });

  it('spare no key that only says it is of the engine, once one of the engine contradicts it', async () => {
    const made = network({ primary: ENGINE_CLASS, shadow: MADE_UP, arbiter: ENGINE_CLASS }, ['primary'], push(7, 0.3));
    const { events } = await ask(made, COLD);
    expectHonest(events, COLD);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(JSON.stringify(made.routes.at(-1))).not.toContain(made.of(2)[0]!.id);
  });

  it('that nobody could tell of are left out for this answer, and not for the next', async () => {
    const made = network({ ...league, shadow: ENGINE_CLASS }, ['primary', 'arbiter'], push(7, 0.3));
    const conversation = made.conversation();
    const request = { promptTokens: prompt(40), maxNewTokens: 8, sampling: COLD };
    await made.ask(conversation, request);
    const [liar] = made.of(2);
    liar!.compute.tamper = (rows) => rows;
    // The session that goes on ends, so that the next answer needs a route of its own.
    made.links.kill(made.of(2)[1]!.id);
    await made.ask(conversation, { ...request, promptTokens: prompt(30) });
    expect(made.routes.at(-1)!.stages[2]!.primary.id).toBe(liar!.id);
  });
});
