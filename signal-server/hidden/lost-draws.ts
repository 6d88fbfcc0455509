import type { PeerId } from '#shared/ids.ts';
import { haveEqualBits, limitsClass } from '#shared/judge/numeric-class.ts';

/** Tokens that were drawn from a key's rows beside an exact replica's, and those of them that the other drew differently. */
export interface DrawCounts {
  readonly drawn: number;
  readonly lost: number;
}

export interface DrawTest {
  /** The share of draws that an honest device of this pair of classes loses, at most. */
  readonly honestRate: number;
  /** The share that one who steers loses besides. */
  readonly steeredRate: number;
  /** Honest tokens between two false accusations of one key, in the mean and at least. */
  readonly falseAlarmTokens: number;
}

/**
 * The share of draws that two honest replicas lose, at most, with 95 % confidence: 2 of 344,064 between the engine and the
 * runtime's WebAssembly. Others were counted with an earlier sampler alone, which lost more: 7 of 5,408 at the most.
 */
const HONEST_RATES: Readonly<Record<string, number>> = { 'int16 + wasm': 1 / 54_000 };
export const HONEST_RATE = 2.7e-3;

/** What is looked for: one token in a hundred, with one false accusation of a key in ten million of its tokens. */
export const STEERED_RATE = 0.01;
export const FALSE_ALARM_TOKENS = 1e7;
/** Keys that are counted at once; who was heard of longest ago goes first. */
const MAX_KEYS = 10_000;

/**
 * A sum that rises with each lost draw and falls with each other, never below zero (Page's test): in an honest key's draws it
 * reaches the limit once in `falseAlarmTokens` at the most (Lorden), and in those of one who steers after few, whenever
 * that begins.
 */
export class DrawSum {
  readonly #rise: number;
  readonly #fall: number;
  readonly #limit: number;
  #sum = 0;

  constructor({ honestRate, steeredRate, falseAlarmTokens }: DrawTest) {
    const steered = honestRate + steeredRate;
    this.#rise = honestRate === 0 ? Infinity : Math.log(steered / honestRate);
    this.#fall = Math.log((1 - honestRate) / (1 - steered));
    this.#limit = Math.log(falseAlarmTokens);
  }

  /** True once the draws are those of one who steers. */
  add({ drawn, lost }: DrawCounts): boolean {
    const won = Math.max(0, drawn - lost);
    if (lost > 0) this.#sum += lost * this.#rise;
    if (this.#sum >= this.#limit) return true;
    this.#sum = Math.max(0, this.#sum - won * this.#fall);
    return false;
  }
}

/** The share that honest replicas of these classes lose; null where nobody has measured it. Two of the engine lose none. */
export function honestRateOf(a: string, b: string, isMeasured: boolean): number | null {
  if (haveEqualBits(a, b, false)) return 0;
  if (!isMeasured) return null;
  return HONEST_RATES[[a, b].map(limitsClass).sort().join(' + ')] ?? HONEST_RATE;
}

/** Lost draws of each key in each pair of classes, in hidden sessions alone: whose prompt and seed nobody but the server chose. */
export class LostDraws {
  readonly #sums = new Map<string, DrawSum>();

  /**
   * True where this key is found to steer by near ties; its count then begins anew. `honestRate` is that of the pair; of one
   * that nobody measured (null), nothing is said.
   */
  add(id: PeerId, pair: string, honestRate: number | null, counts: DrawCounts): boolean {
    if (honestRate === null) return false;
    const key = `${id} ${pair}`;
    const sum =
      this.#sums.get(key) ??
      new DrawSum({ honestRate, steeredRate: STEERED_RATE, falseAlarmTokens: FALSE_ALARM_TOKENS });
    this.#sums.delete(key);
    if (sum.add(counts)) return true;
    this.#sums.set(key, sum);
    for (const [oldest] of this.#sums) {
      if (this.#sums.size <= MAX_KEYS) break;
      this.#sums.delete(oldest);
    }
    return false;
  }
}
