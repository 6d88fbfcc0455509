import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '#shared/judge/statistics.ts';
import type { NodeVolunteer } from '../../../signal-server/node-peer/volunteer-program.ts';
import { conversations } from '../../support/prompts.ts';
import type { AnswerLiar } from './answer-liars.ts';
import { AnswerStand, type AskedAnswer, type FailedAnswer, type Question } from './answer-stand.ts';
import type { ThreadLies } from './hostile-thread.ts';

/** The fate of one liar in whole networks. */
export interface AnswerRow {
  readonly liar: string;
  readonly answers: number;
  /** Answers in which a key of the liar took part, and those in which its rows went on. */
  readonly met: number;
  readonly led: number;
  /** Answers with another text than the honest one that were shown as checked or settled; and as less. */
  readonly wrongShown: number;
  readonly wrongBelow: number;
  /** Answers with the honest text, checked or settled. */
  readonly good: number;
  readonly failed: number;
  readonly keys: number;
  readonly medianMs: number;
  readonly worstMs: number;
  /** The same without the liar. */
  readonly honestMedianMs: number;
  readonly honestWorstMs: number;
}

const ANCHORS = 6;
/** A key that has nothing to do is given up for a fresh one. */
const GIVEN_UP: ReadonlySet<string> = new Set(['idle', 'failed', 'off']);
/** Honest answers of each network whose times are the measure; of the rest only the text counts, which is the same in all of them. */
const MEASURED = 50;
const questions = conversations.filter(({ length }) => length === 1).map(([turn]) => turn!.content);

/** Honest texts, by question; kept from liar to liar. */
export type Truths = Map<string, string>;

/** At temperature 0 no seed has a part in it. */
const keyOf = ({ content, temperature, seed }: Question): string =>
  JSON.stringify([content, temperature, temperature === 0 ? 0 : seed]);

/** Asks `answers` questions of a network with the liar in it, and before it came as many as their texts and times need. */
export async function attackAnswers(liar: AnswerLiar, answers: number, truths: Truths): Promise<AnswerRow> {
  const stand = await AnswerStand.open(ANCHORS);
  try {
    const asked: Question[] = Array.from({ length: answers }, (_, i) => ({
      content: questions[i % questions.length]!,
      temperature: liar.temperature,
      seed: i,
    }));
    const honest: number[] = [];
    for (const [i, question] of asked.entries()) {
      const key = keyOf(question);
      if (i >= MEASURED && truths.has(key)) continue;
      const truth = await stand.ask(question);
      if ('failure' in truth) throw new Error(`an honest network failed: ${truth.failure}`);
      const known = truths.get(key) ?? truth.text;
      if (truth.text !== known) throw new Error('two honest networks gave different texts');
      truths.set(key, known);
      honest.push(truth.ms);
    }
    const keys = new Keys(stand, () => liar.lies(stand));
    const mischief = (await liar.besides?.(stand.url)) ?? null;
    await keys.fill(liar.keys);
    const given: { readonly question: Question; readonly answer: AskedAnswer | FailedAnswer }[] = [];
    for (const question of asked) {
      given.push({ question, answer: await stand.ask(question) });
      await keys.fill(liar.keys);
    }
    await keys.stop();
    await mischief?.stop();
    return rowOf(liar.name, given, truths, honest, keys.ids);
  } finally {
    await stand.stop();
  }
}

/** The keys of one liar: whoever is put out comes back as somebody else. */
class Keys {
  readonly ids = new Set<string>();
  readonly #stand: AnswerStand;
  readonly #lies: () => ThreadLies;
  #working: NodeVolunteer[] = [];

  constructor(stand: AnswerStand, lies: () => ThreadLies) {
    this.#stand = stand;
    this.#lies = lies;
  }

  async fill(count: number): Promise<void> {
    const ended = this.#working.filter(({ volunteer }) => GIVEN_UP.has(volunteer.state.phase));
    this.#working = this.#working.filter((program) => !ended.includes(program));
    await Promise.all(ended.map((program) => program.stop()));
    while (this.#working.length < count) {
      const { id, program } = await this.#stand.join(this.#lies());
      this.ids.add(id);
      this.#working.push(program);
      await settled(program);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#working.map((program) => program.stop()));
  }
}

/** Waits until it has work, for a bounded time. */
async function settled({ volunteer }: NodeVolunteer): Promise<void> {
  const isOn = (): boolean => volunteer.state.phase === 'serving' || volunteer.state.phase === 'failed';
  for (let i = 0; i < 100 && !isOn(); i++) await sleep(100);
}

function rowOf(
  liar: string,
  given: readonly { readonly question: Question; readonly answer: AskedAnswer | FailedAnswer }[],
  truths: Truths,
  honest: readonly number[],
  ids: ReadonlySet<string>,
): AnswerRow {
  const made = given.flatMap(({ question, answer }) =>
    'failure' in answer ? [] : [{ ...answer, isRight: answer.text === truths.get(keyOf(question)) }],
  );
  const isGood = ({ tier }: AskedAnswer): boolean => tier === 'checked' || tier === 'settled';
  const times = given.map(({ answer }) => answer.ms);
  const has = (some: ReadonlySet<string>): boolean => [...some].some((id) => ids.has(id));
  return {
    liar,
    answers: given.length,
    met: made.filter(({ replicas }) => has(replicas)).length,
    led: made.filter(({ primaries }) => has(primaries)).length,
    wrongShown: made.filter((answer) => !answer.isRight && isGood(answer)).length,
    wrongBelow: made.filter((answer) => !answer.isRight && !isGood(answer)).length,
    good: made.filter((answer) => answer.isRight && isGood(answer)).length,
    failed: given.length - made.length,
    keys: ids.size,
    medianMs: quantile(times, 0.5),
    worstMs: quantile(times, 1),
    honestMedianMs: quantile([...honest], 0.5),
    honestWorstMs: quantile([...honest], 1),
  };
}
