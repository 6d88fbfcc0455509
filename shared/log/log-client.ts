import type { VerifySignature } from '../crypto/identity.ts';
import { fetchLogHead, parseLogHead, type LogHead } from './log-head.ts';
import { failedView, holdOffline, holdToLog, UNKNOWN_LOG, type LogView } from './log-history.ts';
import type { NoteKey } from './signed-note.ts';
import { TILE_WIDTH } from './tile-path.ts';
import { parseTlogProof } from './tlog-proof.ts';
import { VerifiedTiles, type FetchBytes } from './verified-tiles.ts';

/** Entries that one call reads. */
const MAX_ENTRIES = 4_096;

/** Where a client keeps what it has seen of one log, as notes. */
export interface HeadMemory {
  /** The newest checkpoint. */
  load(): Promise<string | null>;
  save(note: string): Promise<void>;
  /** Two checkpoints of which neither begins with the other, the one known before first. */
  loadSplit(): Promise<readonly [string, string] | null>;
  saveSplit(notes: readonly [string, string]): Promise<void>;
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
   * from there. A log that has shown two histories is not asked again: nothing it shows makes one of them. Rejects only if
   * `signal` is aborted or the memory fails.
   */
  async look(signal: AbortSignal): Promise<LogView> {
    const { key, fetchBytes, memory, verify } = this.#deps;
    const [before, after] = await this.#heads((await memory.loadSplit()) ?? []);
    if (before && after) return { kind: 'split-view', remembered: before, shown: after };
    const note = await memory.load();
    const heads = await this.#heads(note === null ? [] : [note]);
    let shown: LogHead;
    try {
      shown = await fetchLogHead(key, fetchBytes, verify, signal);
    } catch (thrown) {
      return failedView(thrown, signal);
    }
    const { view } = await holdToLog({ ...UNKNOWN_LOG, heads }, shown, fetchBytes, signal);
    return this.#kept(view);
  }

  /**
   * Holds the checkpoint of a proof to the one remembered, and both to the head that the log shows now: a log must prove
   * entries with the heads that it shows to everybody. Null where the proof is not of this log. Rejects as `look`.
   */
  async holdProof(proof: string, signal: AbortSignal): Promise<LogView | null> {
    const { key, fetchBytes, memory, verify } = this.#deps;
    const [before, after] = await this.#heads((await memory.loadSplit()) ?? []);
    if (before && after) return { kind: 'split-view', remembered: before, shown: after };
    let proved: LogHead;
    try {
      proved = await parseLogHead(parseTlogProof(proof).checkpoint, key, verify);
    } catch {
      return null;
    }
    const note = await memory.load();
    const heads = await this.#heads(note === null ? [] : [note]);
    const { view, known } = holdOffline({ ...UNKNOWN_LOG, heads }, proved);
    if (view.kind === 'same' || view.kind === 'split-view') return this.#kept(view);
    if (view.kind === 'first-seen') await memory.save(proved.note);
    let newest: LogHead;
    try {
      newest = await fetchLogHead(key, fetchBytes, verify, signal);
    } catch (thrown) {
      return failedView(thrown, signal);
    }
    const { view: viewNow } = await holdToLog(known, newest, fetchBytes, signal);
    // The proof's own head may be the newest, and all that was remembered is a part of it.
    if (viewNow.kind === 'same') await memory.save(newest.note);
    return this.#kept(viewNow);
  }

  /** The view, after its heads are remembered. */
  async #kept<View extends LogView>(view: View): Promise<View> {
    const { memory } = this.#deps;
    if (view.kind === 'split-view') await memory.saveSplit([view.remembered.note, view.shown.note]);
    else if (view.kind === 'first-seen' || view.kind === 'grown') await memory.save(view.head.note);
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

  /** The heads in these notes; none where one is not of this log, for then another log was watched under the same name. */
  async #heads(notes: readonly string[]): Promise<LogHead[]> {
    const { key, verify } = this.#deps;
    try {
      return await Promise.all(notes.map((note) => parseLogHead(note, key, verify)));
    } catch {
      return [];
    }
  }
}
