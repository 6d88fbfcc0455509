import { concatBytes } from '../bytes.ts';
import type { Commit } from '../judge/statement.ts';
import { RowChain, ShapeChain, splitRows } from '../rows/row-chain.ts';
import type { Rows } from '../rows/rows.ts';

/** The chains over positions [start, end) of a replica's session, and the rows in them. */
export interface SpanRows {
  readonly chains: Pick<Commit, 'inputFrom' | 'inputTo' | 'outputFrom' | 'outputTo' | 'shapes'>;
  readonly inputs: readonly Uint8Array<ArrayBuffer>[];
  /** Empty rows where no logits were wanted. */
  readonly outputs: readonly Uint8Array<ArrayBuffer>[];
}

const NO_ROW: Uint8Array<ArrayBuffer> = new Uint8Array();

/**
 * One session of one stage, row by row: the input from position 0 on, and of the output the chain and those rows
 * that may still have to be shown. Rows are taken in before they are computed; a shadow's wait there for their check.
 */
export class StageTape {
  readonly #kind: 'tokens' | 'hidden';
  readonly #inputs: Uint8Array<ArrayBuffer>[] = [];
  readonly #isWanted: boolean[] = [];
  readonly #outputs: Uint8Array<ArrayBuffer>[] = [];
  readonly #inputChain = new RowChain();
  readonly #outputChain = new RowChain();
  readonly #shapes = new ShapeChain();
  /** Outputs before it are no longer kept. */
  #keptFrom = 0;
  #unclaimedFrom = 0;
  #mostComputed = 0;

  constructor(kind: 'tokens' | 'hidden') {
    this.#kind = kind;
  }

  /** Positions taken in. */
  get received(): number {
    return this.#inputs.length;
  }

  /** Positions computed. */
  get computed(): number {
    return this.#outputs.length;
  }

  /** Most positions that were ever computed, whatever was cut. */
  get mostComputed(): number {
    return this.#mostComputed;
  }

  /** Positions before it are in a claim for credit; the outputs of later ones are kept until they are. */
  get unclaimedFrom(): number {
    return this.#unclaimedFrom;
  }

  /** Bytes of the rows kept. */
  get bytes(): number {
    return [...this.#inputs, ...this.#outputs].reduce((sum, row) => sum + row.length, 0);
  }

  /** Takes in the rows that follow; logits are wanted from `logitsFrom` on. */
  take({ start, count, bytes }: Rows, logitsFrom: number): void {
    splitRows(bytes, count).forEach((row, i) => {
      // A copy, for the row alone may outlive, after cuts, all that came with it.
      this.#inputs.push(row.slice());
      this.#isWanted.push(start + i >= logitsFrom);
      this.#inputChain.append(row);
    });
  }

  /** Takes what one run made of the rows [computed, end). */
  complete(end: number, output: Rows): void {
    const start = this.computed;
    const rows = splitRows(output.bytes, output.count);
    for (let position = start; position < end; position++) {
      // A run gives logits from some position on, and other replicas' runs need not begin where this one did.
      const isThere = output.kind === 'hidden' || this.#isWanted[position];
      const row = (isThere ? rows[position - output.start]?.slice() : undefined) ?? NO_ROW;
      this.#outputs.push(row);
      this.#outputChain.append(row);
    }
    this.#shapes.append(start, end - start);
    this.#mostComputed = Math.max(this.#mostComputed, end);
  }

  /** Forgets everything at `position` and after. */
  cut(position: number): void {
    this.#inputs.length = Math.min(this.#inputs.length, position);
    this.#isWanted.length = this.#inputs.length;
    this.#inputChain.cut(position);
    this.cutComputed(position);
  }

  /** Forgets what was computed at `position` and after; its rows wait again. */
  cutComputed(position: number): void {
    this.#outputs.length = Math.min(this.#outputs.length, position);
    this.#outputChain.cut(position);
    this.#shapes.cut(position);
    this.#keptFrom = Math.min(this.#keptFrom, position);
    this.#unclaimedFrom = Math.min(this.#unclaimedFrom, position);
  }

  /** Input rows of [start, end), which must have been taken in. */
  rows(start: number, end: number): Rows {
    const bytes = concatBytes(...this.#inputs.slice(start, end));
    return { kind: this.#kind, start, count: end - start, bytes };
  }

  /** The first position of [start, end) whose logits are wanted; `end` for none. */
  logitsFrom(start: number, end: number): number {
    const first = this.#isWanted.indexOf(true, start);
    return first === -1 ? end : Math.min(first, end);
  }

  /** [start, end), which must be computed. */
  span(start: number, end: number): SpanRows {
    return {
      chains: {
        inputFrom: this.#inputChain.at(start),
        inputTo: this.#inputChain.at(end),
        outputFrom: this.#outputChain.at(start),
        outputTo: this.#outputChain.at(end),
        shapes: this.#shapes.at(end),
      },
      inputs: this.#inputs.slice(start, end),
      outputs: this.#outputs.slice(start, end),
    };
  }

  /** Chains before `end`, up to where all must be computed. */
  chainsAt(end: number): Record<'input' | 'output' | 'runs', Uint8Array<ArrayBuffer>> {
    return { input: this.#inputChain.at(end), output: this.#outputChain.at(end), runs: this.#shapes.at(end) };
  }

  /** Positions before `end` are in a claim. */
  claimed(end: number): void {
    this.#unclaimedFrom = Math.max(this.#unclaimedFrom, Math.min(end, this.computed));
  }

  /** Outputs before `position` need not be shown any more; they go once they are claimed, too. */
  release(position: number): void {
    const end = Math.min(position, this.computed, this.#unclaimedFrom);
    if (end > this.#keptFrom) this.#outputs.fill(NO_ROW, this.#keptFrom, end);
    this.#keptFrom = Math.max(this.#keptFrom, end);
  }
}
