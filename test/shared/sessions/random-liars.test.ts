import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { repetitions } from '../../support/effort.ts';
import { corrupt, lieKinds, type Lie } from '../../support/random-liars.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';

/** Replicas of each stage: enough for the two that differ to be left out. */
const REPLICAS = 4;
const ROLES = ['primary', 'shadow', 'arbiter'] as const;

const lie: fc.Arbitrary<Lie> = fc.record({
  kind: fc.constantFrom(...lieKinds),
  start: fc.constantFrom(0, 0, 5, 31, 32, 40, 64, 70),
});
const liar = fc.record({ role: fc.constantFrom(...ROLES, 'primary', 'shadow'), lie });
/** At most one liar in each stage: two that lie alike there are beyond what two replicas can show. */
const liars = fc
  .tuple(...[0, 1, 2].map(() => fc.option(liar, { freq: 2 })))
  .filter((stages) => stages.some((each) => each !== null));

/** Each announced position is the honest one's: up to the first span that nobody checked. */
function expectHonest(events: readonly AnswerEvent[], promptLength: number, whole: readonly number[]): void {
  const tokens: number[] = [];
  let isChecked = true;
  for (const event of events) {
    if (event.type === 'rerouted') tokens.length = Math.min(tokens.length, event.from - promptLength);
    if (event.type === 'token') tokens.push(event.token);
    if (event.type !== 'checked') continue;
    isChecked &&= event.check.tier === 'checked' || event.check.tier === 'settled';
    const length = Math.max(0, event.check.end + 1 - promptLength);
    if (isChecked) expect(tokens.slice(0, length)).toEqual(whole.slice(0, length));
  }
}

describe('whoever lies, and in whatever way', () => {
  // Four parts of one run, so that each keeps to its time.
  it.each([1, 2, 3, 4])(
    'no wrong token counts as checked and nobody honest is proven wrong (seed %i)',
    { timeout: 180_000 },
    async (seed) => {
      await fc.assert(
        fc.asyncProperty(liars, fc.integer({ min: 1, max: 75 }), async (stages, length) => {
          const network = checkedNetwork(['arbiter', 'referee'], REPLICAS);
          const chosen = stages.flatMap((each, stage) => {
            if (each === null) return [];
            const [primary, shadow, ...rest] = network.of(stage);
            const arbiter = rest.find(({ reserve }) => reserve === 'arbiter')!;
            return [[{ primary: primary!, shadow: shadow!, arbiter }[each.role], each.lie] as const];
          });
          corrupt(network, chosen);
          const dishonest = chosen.map(([{ id }]) => id);

          const events: AnswerEvent[] = [];
          const conversation = network.conversation();
          const request = { promptTokens: prompt(length), maxNewTokens: 8, sampling: GREEDY };
          const whole = toyAnswer(prompt(length), 8);
          const error: unknown = await network
            .ask(conversation, request, (event) => events.push(event))
            .then(
              () => null,
              (reason: unknown) => reason,
            );

          expectHonest(events, length, whole);
          expect(error === null || error instanceof ChorusError).toBe(true);
          const end = events.at(-1);
          if (end?.type === 'end' && (end.tier === 'checked' || end.tier === 'settled')) {
            expect(standing(events, length)).toEqual(whole);
          }
          for (const { isProven, volunteer } of only(events, 'fault'))
            if (isProven) expect(dishonest).toContain(volunteer);
          for (const report of network.reports) expect(dishonest).toContain(report?.accused);
          conversation.close();
          await network.clock.advance(25_000);
          expect(network.openSessions).toBe(0);
        }),
        { numRuns: repetitions(10, 50), seed },
      );
    },
  );
});
