import type { VerifySignature } from '../crypto/identity.ts';
import { failedView, holdToLog, type KnownLog, type LogView } from './log-history.ts';
import { fetchLogHead, parseLogHead, type LogHead } from './log-head.ts';
import type { NoteKey } from './signed-note.ts';
import { TILE_WIDTH } from './tile-path.ts';
import { VerifiedTiles, type FetchBytes } from './verified-tiles.ts';

/** Entries that one call reads. */
const MAX_ENTRIES = 4_096;

/** Where a client keeps the newest checkpoint it has seen of one log, as a note. */
export interface HeadMemory {
  load(): Promise<string | null>;
  save(note: string): Promise<void>;
}

export interface LogClientDeps {
  readonly key: NoteKey;
  readonly fetchBytes: FetchBytes;
  readonly memory: HeadMemory;
  readonly verify: VerifySignature;
}

/** Reads a log, and holds it to what it has shown before. */
export class LogClient {
  readonly #deps: LogClientDeps;

  constructor(deps: LogClientDeps) {
    this.#deps = deps;
  }

  /**
   * Fetches the newest checkpoint and compares it with the one remembered, which it replaces only where the log has grown
   * from there. Rejects only if `signal` is aborted or the memory fails.
   */
  async look(signal: AbortSignal): Promise<LogView> {
    const { key, fetchBytes, memory, verify } = this.#deps;
    const remembered = await this.#remembered();
    let shown: LogHead;
    try {
      shown = await fetchLogHead(key, fetchBytes, verify, signal);
    } catch (thrown) {
      return failedView(thrown, signal);
    }
    const known: KnownLog = { heads: remembered === null ? [] : [remembered], split: null };
    const { view } = await holdToLog(known, shown, fetchBytes, signal);
    if (view.kind === 'first-seen' || view.kind === 'grown') await memory.save(shown.note);
    return view;
  }

  /**
   * The entries [start, end) of `head`, each checked against its root. Throws RangeError beyond it or for more than 4,096,
   * `digest-mismatch` if the log shows others, and what fetching throws.
   */
  async entries(head: LogHead, start: number, end: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>[]> {
    if (start < 0 || start > end || end > head.size || end - start > MAX_ENTRIES) {
      throw new RangeError(`no entries ${start} to ${end} can be read of ${head.size}`);
    }
    if (start === end) return [];
    const tiles = this.#tilesOf(head, signal);
    const first = Math.floor(start / TILE_WIDTH);
    const count = Math.ceil(end / TILE_WIDTH) - first;
    const bundles = await Promise.all(Array.from({ length: count }, (_, i) => tiles.entries(first + i)));
    return bundles.flat().slice(start - first * TILE_WIDTH, end - first * TILE_WIDTH);
  }

  #tilesOf(head: LogHead, signal: AbortSignal): VerifiedTiles {
    return new VerifiedTiles(head, this.#deps.fetchBytes, signal);
  }

  /** Null also for what is not a head of this log: another was watched under the same name. */
  async #remembered(): Promise<LogHead | null> {
    const { key, memory, verify } = this.#deps;
    const text = await memory.load();
    if (text === null) return null;
    try {
      return await parseLogHead(text, key, verify);
    } catch {
      return null;
    }
  }
}
