import type { SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import type { TracedSession } from '../bench/calibrate/trace-set.ts';
import { loadRuntimeStage } from '../support/runtime-stage.ts';
import { joined } from '../support/traces/span-comparison.ts';

type HiddenRows = readonly Uint8Array<ArrayBuffer>[];

/** Rows of one chunk of a stage that is not the last, which a check let pass. */
export interface Escaped {
  readonly session: TracedSession;
  /** The output of an honest one of the liar's class for the session in whole chunks. */
  readonly honest: HiddenRows;
  readonly start: number;
  readonly rows: HiddenRows;
}

interface OpenSession {
  readonly stage: ServedStage;
  readonly id: SessionId;
  /** Positions of honest rows that the stage holds. */
  position: number;
  /** The likeliest tokens after honest chunks, by their start. */
  readonly truths: Map<number, readonly number[]>;
}

const MAX_SESSIONS = 64;

/** All layers after a stage, on WASM. Each model is loaded once, and what is honest is computed as seldom as can be. */
export class TextTail {
  readonly #stages = new Map<string, Promise<ServedStage>>();
  readonly #sessions = new Map<HiddenRows, OpenSession>();

  /** Whether the likeliest token after some position of the chunk is another than after the honest rows. */
  async moves({ session, honest, start, rows }: Escaped): Promise<boolean> {
    const own = this.#sessions.get(honest) ?? (await this.#open(session, honest.length));
    this.#sessions.set(honest, own);
    const truth = own.truths.get(start);
    const needed = truth === undefined ? start + rows.length : start;
    while (own.position < needed) await this.#step(own, honest);
    await own.stage.cut(own.id, start);
    own.position = start;
    const told = await run(own, start, rows);
    await own.stage.cut(own.id, start);
    return told.some((token, i) => token !== own.truths.get(start)![i]);
  }

  async release(): Promise<void> {
    for (const stage of this.#stages.values()) await (await stage).release();
  }

  async #open({ model, range }: TracedSession, capacity: number): Promise<OpenSession> {
    const tail = { start: range.end, end: model.manifest.config.layers, embedding: false, head: true };
    const key = `${model.name} ${range.end}`;
    const loaded = this.#stages.get(key) ?? loadRuntimeStage(model, tail, MAX_SESSIONS);
    this.#stages.set(key, loaded);
    const stage = await loaded;
    const id = this.#sessions.size.toString(16).padStart(32, '0') as SessionId;
    await stage.open(id, capacity);
    return { stage, id, position: 0, truths: new Map() };
  }

  async #step(own: OpenSession, honest: HiddenRows): Promise<void> {
    const { position } = own;
    const chunk = honest.slice(position, position + CHUNK_POSITIONS);
    own.truths.set(position, await run(own, position, chunk));
    own.position += chunk.length;
  }
}

async function run({ stage, id }: OpenSession, start: number, rows: HiddenRows): Promise<number[]> {
  const input = { kind: 'hidden' as const, start, count: rows.length, bytes: joined(rows) };
  const { output } = await stage.run({ session: id, input, logitsFrom: 0 });
  return splitRows(output.bytes, rows.length).map(bestToken);
}

/** The first candidate of a logits row. */
export function bestToken(row: Uint8Array<ArrayBuffer>): number {
  return new DataView(row.buffer, row.byteOffset).getUint32(4, true);
}
