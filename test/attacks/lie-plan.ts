import type { SessionId } from '#shared/ids.ts';
import { chunkOf } from '#shared/rows/chunk.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { Occasions } from './lying-compute.ts';

/** Where a liar takes its chances, and where it did. */
export class LiePlan implements Occasions {
  /** Whether it lies in a chunk of an answer, of which so many positions are the prompt. */
  lieIn: (chunk: number, position: number, promptLength: number, answer: number) => boolean = () => true;
  /** Chunks of the answer under way in which it lied. */
  readonly chunks: number[] = [];
  #promptLength = 0;
  #answer = 0;

  lies(_session: SessionId, rows: Rows): boolean {
    return rows.count > 0 && this.takes(rows.start);
  }

  /** True if it lies at `position`, which it then has. */
  takes(position: number): boolean {
    if (!this.wants(position)) return false;
    this.hasLied(position);
    return true;
  }

  wants(position: number): boolean {
    return this.lieIn(chunkOf(position), position, this.#promptLength, this.#answer);
  }

  hasLied(position: number): void {
    const chunk = chunkOf(position);
    if (!this.chunks.includes(chunk)) this.chunks.push(chunk);
  }

  begin(promptLength: number): void {
    this.#promptLength = promptLength;
    this.#answer++;
    this.chunks.length = 0;
  }
}
