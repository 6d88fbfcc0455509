import { canonicalBase64 } from '../../crypto/strict-envelope.ts';
import { dependsOnRuns, describeNumericClassInFull, isExactClass } from '../../judge/numeric-class.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { StageRange } from '../../model/stage.ts';
import { attestedEnds, parseAttestation } from '../evidence/attest.ts';
import type { AttestationPredicate } from '../evidence/attestation.ts';
import type { FedRun } from '../evidence/evidence.ts';
import { shapeOf, unpackRuns, wantedLogits } from '../evidence/runs.ts';
import { salted } from '../evidence/salted.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import { positionsOf } from './replay-report.ts';
import {
  chainOf,
  positionsToRun,
  replayStage,
  type ReplayedRuns,
  type ReplayStage,
  type StageRows,
} from './replay-stage.ts';

export interface ReplayProgress {
  readonly stage: number;
  readonly stages: number;
  /** Positions that were computed, over all stages, of those to compute. */
  readonly done: number;
  readonly total: number;
}

export interface ReplayOptions {
  /** Of a receipt that was verified. */
  readonly predicate: ReceiptPredicate;
  readonly manifest: Manifest;
  /** Of prompt and answer. */
  readonly tokens: readonly number[];
  readonly salt: Uint8Array<ArrayBuffer>;
  /** As it was asked, to tell a wrong salt from wrong tokens; null or left out where it is not at hand. */
  readonly prompt?: string | null;
  /** Which chunks of 32 positions are compared; all positions before them are computed as well. */
  readonly chunks: readonly number[] | 'all';
  /** Called for one stage after the other. */
  readonly openStage: (range: StageRange) => Promise<ReplayStage>;
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly signal?: AbortSignal;
}

type Replica = ReceiptPredicate['stages'][number]['replicas'][number];

/** A stage that was computed here. */
export interface ReplayedStage {
  readonly numericClass: string;
  readonly rows: StageRows;
  /** The salted chain at the end of a chunk. */
  readonly chainAt: (chunk: number) => string;
}

/** The stages of a replay up to the last chunk that is compared, one after the other, and how far they are. */
export class ReplayWork {
  /** The runs up to there. */
  readonly runs: readonly FedRun[];
  readonly #options: ReplayOptions;
  readonly #answer: ReplayedRuns;
  readonly #shape: string;
  #done = 0;
  #stage = 0;
  #total = 0;

  constructor(options: ReplayOptions, lastChunk: number) {
    const { predicate, signal = new AbortController().signal } = options;
    const { positions, session } = predicate;
    const { end } = positionsOf(lastChunk, positions);
    const all = unpackRuns(predicate.runs, positions);
    const onRun = (count: number): void => this.#report(count);
    this.runs = all.filter(({ start }) => start < end);
    this.#answer = { session, runs: this.runs, end, wanted: wantedLogits(all, positions), onRun, signal };
    this.#shape = shapeOf(all);
    this.#options = options;
  }

  async run(stage: number, inputs: StageRows): Promise<ReplayedStage> {
    const { predicate, salt, openStage } = this.#options;
    const { range } = predicate.stages[stage]!;
    const opened = await openStage(range);
    this.#stage = stage;
    const left = predicate.stages.length - stage;
    this.#total = this.#done + left * positionsToRun(opened.numericClass, this.#answer);
    this.#report(0);
    const rows = await replayStage(opened, range, inputs, this.#answer);
    const chain = chainOf(rows, this.#answer.end);
    const ends = attestedEnds(predicate.positions);
    return { numericClass: opened.numericClass, rows, chainAt: (chunk) => salted(salt, chain.at(ends[chunk]!)) };
  }

  /**
   * What a replica signed of its output at the end of a chunk, and why that cannot be compared bit for bit with rows of `ownClass`, computed
   * from the same input; the reason is empty where it can.
   */
  signedBy({ signed }: Replica, ownClass: string) {
    const attested = signed && parseAttestation(canonicalBase64(signed.attestation.payload)).predicate;
    const chainAt = (chunk: number): string | undefined => attested?.outputs[chunk]?.sha256;
    return { reason: this.#whyNot(attested, ownClass), chainAt };
  }

  #whyNot(attested: AttestationPredicate | null, ownClass: string): string {
    if (attested === null) return 'it signed nothing';
    const { numericClass, runs } = attested;
    if (!isExactClass(numericClass)) return `bits of ${numericClass} depend on the device`;
    if (numericClass !== ownClass) {
      const [theirs, own] = [numericClass, ownClass].map(describeNumericClassInFull);
      return `it computed with ${theirs}, and here it was ${own}`;
    }
    const isOtherwise = dependsOnRuns(numericClass) && runs.sha256 !== this.#shape;
    return isOtherwise ? 'it computed in other runs than those of the receipt' : '';
  }

  #report(count: number): void {
    this.#done += count;
    const { predicate, onProgress } = this.#options;
    onProgress?.({ stage: this.#stage, stages: predicate.stages.length, done: this.#done, total: this.#total });
  }
}
