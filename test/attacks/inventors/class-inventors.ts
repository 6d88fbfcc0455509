import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Sampling } from '#shared/rows/sampler.ts';
import { bend, bendLogits, push, round, steer, type BendRow } from '../../support/bent-logits.ts';
import { checkedNetwork, prompt } from '../../support/checked-network.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import { outcomeOf, type Outcome } from '../outcome.ts';

/** A class that no device has: its limits are the cautious ones, and its rows depend on whoever made it up. */
const MADE_UP = 'webgpu/apple/m9';
const [NEW_TOKENS, SHORTEST, LENGTHS] = [24, 20, 60];

/** Liars of the last stage, of a class that they made up. */
export const inventors: readonly { readonly name: string; readonly bent: BendRow }[] = [
  ...[0.01, 0.1, 0.5].map((gap) => ({ name: `swaps the best two within ${gap}`, bent: steer(gap) })),
  ...[0.02, 0.08].map((step) => ({ name: `pushes one token by ${step}`, bent: push(7, step) })),
  ...[0.01, 0.05].map((most) => ({ name: `bends to the runner-up by up to ${most}`, bent: bend(most) })),
];

/** Who is in league with the primary, of the same class; the others are of the engine and honest. */
export const leagues = {
  alone: [],
  'with the arbiter': ['arbiter'],
  'with the only shadow, and the arbiter': ['shadow', 'arbiter'],
} as const;
export type League = keyof typeof leagues;

/** One answer of the toy network with such a liar as the primary of its last stage, and what became of it. */
export async function inventorTrial(
  bent: BendRow,
  league: League,
  temperature: number,
  answer: number,
): Promise<Outcome> {
  // Where every replica of the stage lies, nobody else holds it.
  const isWholeStage = league === 'with the only shadow, and the arbiter';
  const network = checkedNetwork(isWholeStage ? ['arbiter'] : ['arbiter', 'referee'], isWholeStage ? 2 : 4);
  for (const volunteer of network.volunteers) volunteer.numericClass = ENGINE_CLASS;
  const [primary, shadow] = network.of(2);
  const others = { arbiter: network.of(2).find(({ reserve }) => reserve === 'arbiter')!, shadow: shadow! };
  const liars = [primary!, ...leagues[league].map((role) => others[role])];
  let lied: number[] = [];
  for (const liar of liars) {
    liar.numericClass = MADE_UP;
    liar.compute.tamper = (rows) => {
      const told = bendLogits(bent)(rows);
      if (told.bytes.some((byte, i) => byte !== rows.bytes[i])) lied.push(Math.floor(rows.start / 32));
      return told;
    };
  }
  const length = SHORTEST + ((answer * 37) % LENGTHS);
  const sampling: Sampling = { temperature, topP: 1, seed: answer };
  const request = { promptTokens: prompt(length), maxNewTokens: NEW_TOKENS, sampling };
  const { events } = await network.ask(network.conversation(), request);
  lied = [...new Set(lied)];
  const truth = toyAnswer(prompt(length), NEW_TOKENS, sampling);
  const ids = liars.map(({ id }) => id);
  return outcomeOf(events, truth, length, ids, lied);
}

/** Honest devices whose logits are off by roundings: their class, the size, and whether the exact replica is before or after them. */
export const honestPairs = [
  {
    name: 'a measured device before an exact one',
    numericClass: 'webgpu/google/swiftshader',
    size: 1e-4,
    isPrimary: true,
  },
  {
    name: 'an exact one before a measured device',
    numericClass: 'webgpu/google/swiftshader',
    size: 1e-4,
    isPrimary: false,
  },
  { name: 'an unknown device before an exact one', numericClass: MADE_UP, size: 3e-3, isPrimary: true },
  { name: 'an exact one before an unknown device', numericClass: MADE_UP, size: 3e-3, isPrimary: false },
] as const;

/** One answer of such a pair at the last stage; all others are of the engine. */
export async function honestTrial(
  pair: (typeof honestPairs)[number],
  temperature: number,
  answer: number,
): Promise<Outcome> {
  const network = checkedNetwork(['arbiter', 'referee'], 2);
  for (const volunteer of network.volunteers) volunteer.numericClass = ENGINE_CLASS;
  const [primary, shadow] = network.of(2);
  const device = pair.isPrimary ? primary! : shadow!;
  device.numericClass = pair.numericClass;
  device.compute.tamper = bendLogits(round(pair.size));
  const length = SHORTEST + ((answer * 37) % LENGTHS);
  const sampling: Sampling = { temperature, topP: answer % 2 === 0 ? 1 : 0.9, seed: answer };
  const request = { promptTokens: prompt(length), maxNewTokens: NEW_TOKENS, sampling };
  const { events } = await network.ask(network.conversation(), request);
  return outcomeOf(events, toyAnswer(prompt(length), NEW_TOKENS, sampling), length, [], []);
}

/** What became of many answers. */
export interface InventorRow {
  readonly name: string;
  readonly league: League;
  readonly temperature: number;
  readonly answers: number;
  /** Answers in which the liar changed a row, and in which a token was another while it was pale. */
  readonly lied: number;
  readonly moved: number;
  readonly wrongShown: number;
  readonly right: number;
  readonly checked: number;
  readonly falseAccusations: number;
}

export async function inventorRow(
  { name, bent }: (typeof inventors)[number],
  league: League,
  temperature: number,
  { from = 0, count: answers }: { readonly from?: number; readonly count: number },
): Promise<InventorRow> {
  const outcomes: Outcome[] = [];
  for (let i = from; i < from + answers; i++) outcomes.push(await inventorTrial(bent, league, temperature, i));
  const count = (is: (outcome: Outcome) => boolean) => outcomes.filter(is).length;
  return {
    ...{ name, league, temperature, answers },
    lied: count(({ liedChunks }) => liedChunks > 0),
    moved: count(({ hasMoved }) => hasMoved),
    wrongShown: outcomes.reduce((sum, each) => sum + each.wrongShown, 0),
    right: count(({ isTextRight }) => isTextRight),
    checked: count(({ tier }) => tier === 'checked' || tier === 'settled'),
    falseAccusations: outcomes.reduce((sum, each) => sum + each.falseAccusations, 0),
  };
}
