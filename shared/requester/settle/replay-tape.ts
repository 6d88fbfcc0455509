import { concatBytes, equalBytes } from '../../bytes.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import { ChorusError } from '../../errors.ts';
import { channelScale } from '../../judge/channel-scale.ts';
import { checkReveal } from '../../judge/reveal-form.ts';
import { rowValues, sketchRows } from '../../judge/sketch.ts';
import { NO_OPENING } from '../../judge/statement-codec.ts';
import type { Commit, Reveal, Signed, Span } from '../../judge/statement.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Route } from '../../route/route.ts';
import { RowChain, splitRows } from '../../rows/row-chain.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';
import { checkDigest } from '../../wire/rows-message.ts';
import type { Run } from '../feed/requester-session.ts';

/** The work of a third replica: the rows that it computes, and the span that it shows. */
export interface ReplayTask {
  /** The span it must speak for, which is the last of what it is fed. */
  readonly start: number;
  readonly end: number;
  /** The seed of that span. */
  readonly seed: Uint8Array<ArrayBuffer>;
  /** The accused's runs of positions [0, end), so that equal code gives equal bits. */
  readonly runs: readonly Run[];
  /** The input rows of these positions. */
  readonly rows: readonly Uint8Array<ArrayBuffer>[];
}

const EMPTY = new Uint8Array();

/** The rows that went into a replay and came out of it, for which its replica must stand. */
export class ReplayTape {
  readonly #route: Route;
  readonly #manifest: Manifest;
  readonly #task: ReplayTask;
  readonly #input = new RowChain();
  readonly #output = new RowChain();
  /** Output rows of the span, those that there are. */
  #shown: Uint8Array[] = [];

  constructor(route: Route, manifest: Manifest, task: ReplayTask) {
    this.#route = route;
    this.#manifest = manifest;
    this.#task = task;
    for (const row of task.rows.slice(0, task.end)) this.#input.append(row);
  }

  /** The one span that is checked. */
  get span(): Span {
    const { start, end } = this.#task;
    return { session: this.#route.session, epoch: 0, index: 1, start, end };
  }

  get #stage() {
    return this.#route.stages[0]!;
  }

  /** Takes what came of one run. Throws `bad-message` or `digest-mismatch` for rows that are not those of their run. */
  take(message: RowsMessage): void {
    const { start, end, logitsFrom } = this.#task.runs[message.sequence]!;
    const { head } = this.#stage.range;
    const from = head ? Math.min(Math.max(start, logitsFrom), end) : start;
    const { rows } = message;
    if (rows.kind !== (head ? 'logits' : 'hidden') || rows.count !== end - from) {
      throw new ChorusError('bad-message', 'the replay gave other rows than asked for');
    }
    checkDigest(message);
    const split = splitRows(rows.bytes, rows.count);
    for (let position = start; position < end; position++) {
      const row = position < from ? EMPTY : split[position - from]!;
      this.#output.append(row);
      if (position >= this.#task.start && position >= from) this.#shown.push(row);
    }
  }

  /** Throws `bad-message` for a commit to anything else. */
  checkCommit(commit: Signed<Commit>): void {
    this.#expectSpan(commit);
    const { start, end } = this.#task;
    const { inputFrom, inputTo, outputFrom, outputTo } = commit.statement;
    const [input, output] = [this.#input, this.#output];
    const isOwn =
      equalBytes(inputFrom, input.at(start)) &&
      equalBytes(inputTo, input.at(end)) &&
      equalBytes(outputFrom, output.at(start)) &&
      equalBytes(outputTo, output.at(end));
    if (!isOwn) throw unusable('it committed to other rows than it got and gave');
  }

  /** Throws `bad-message` for a reveal of anything but what `commit` is to. */
  checkReveal(reveal: Signed<Reveal>, commit: Signed<Commit>): void {
    this.#expectSpan(reveal);
    const { statement } = reveal;
    const { range } = this.#stage;
    if (!equalBytes(reveal.publicKey, commit.publicKey)) throw unusable('it revealed with another key');
    if (!equalBytes(statement.opening, commit.statement.opening)) throw unusable('it revealed for another opening');
    if (!equalBytes(statement.seed, this.#task.seed)) throw unusable('it revealed under another seed');
    if (checkReveal(statement, range, this.#manifest.config, range.head ? this.#shown.length : null) !== null) {
      throw unusable('it revealed no sketches');
    }
    const rows = this.#task.rows.slice(this.#task.start, this.#task.end);
    const isOwnInput = range.embedding || equalBytes(statement.input, this.#sketch(rows));
    const shown = range.head ? concatBytes(...this.#shown) : this.#sketch(this.#shown);
    if (!isOwnInput || !equalBytes(statement.output, shown)) throw unusable('it revealed other rows than it gave');
  }

  #sketch(rows: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
    const manifest = this.#manifest;
    const values = rowValues(concatBytes(...rows), manifest.pins.boundary);
    return sketchRows(values, manifest.config.hiddenSize, channelScale(manifest), this.#task.seed);
  }

  #expectSpan({ statement, publicKey }: Signed<Commit | Reveal>): void {
    const expected = { ...this.span, stage: 0 };
    const fields = ['session', 'epoch', 'index', 'start', 'end', 'stage'] as const;
    if (fields.some((field) => statement[field] !== expected[field])) throw unusable('it spoke of another chunk');
    if (peerIdOf(publicKey) !== this.#stage.primary.id) throw unusable('somebody else spoke');
  }

  /** The requester's commit, as of a stage after the replica's: its input is the replica's output. */
  get ownCommit(): Commit {
    const { start, end } = this.#task;
    return {
      ...this.span,
      opening: NO_OPENING,
      stage: this.#route.stages.length,
      inputFrom: this.#output.at(start),
      inputTo: this.#output.at(end),
      outputFrom: this.#input.at(start),
      outputTo: this.#input.at(end),
      shapes: new Uint8Array(32),
    };
  }
}

/** Why the replica's word is of no use. */
export function unusable(reason: string): ChorusError {
  return new ChorusError('bad-message', `the replay cannot be used: ${reason}`);
}
