import { equalBytes } from '../bytes.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { treeRoot } from './merkle.ts';
import { isSignedBy, parseNote, type NoteKey } from './signed-note.ts';
import { TILE_WIDTH } from './tile-path.ts';
import { VerifiedTiles, type FetchBytes } from './verified-tiles.ts';

const MAX_CHECKPOINT_BYTES = 64 * 1024;
/** Entries that one call reads. */
const MAX_ENTRIES = 4_096;

/** A checkpoint that its log has signed. */
export interface LogHead extends Checkpoint {
  /** The signed note, as the log showed it. */
  readonly note: string;
}

/** What a client found when it looked at a log. The first three are as it should be. */
export type LogView =
  | { readonly kind: 'first-seen'; readonly head: LogHead }
  | { readonly kind: 'same'; readonly head: LogHead }
  /** `head` begins with all that `from` has. */
  | { readonly kind: 'grown'; readonly head: LogHead; readonly from: LogHead }
  /** The log has signed two histories: both notes together prove it to anyone. */
  | { readonly kind: 'split-view'; readonly remembered: LogHead; readonly shown: LogHead }
  /** The log shows an older state than it did before; a copy that is behind, or a log that was put back. */
  | { readonly kind: 'shrunk'; readonly remembered: LogHead; readonly shown: LogHead }
  /** What was shown is not this log's, or does not fit together: nothing is known of the log. */
  | { readonly kind: 'unusable'; readonly error: ChorusError }
  | { readonly kind: 'unreachable'; readonly error: ChorusError };

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
    const remembered = await this.#remembered();
    let shown: LogHead;
    try {
      shown = await this.#fetchHead(signal);
    } catch (thrown) {
      return failed(thrown, signal);
    }
    if (remembered === null) {
      await this.#deps.memory.save(shown.note);
      return { kind: 'first-seen', head: shown };
    }
    if (shown.size < remembered.size) return { kind: 'shrunk', remembered, shown };
    if (shown.size === remembered.size) {
      if (!equalBytes(shown.root, remembered.root)) return { kind: 'split-view', remembered, shown };
      return { kind: 'same', head: shown };
    }
    try {
      const tiles = this.#tilesOf(shown, signal);
      const rootThen = await tiles.withHashes((read) => treeRoot(remembered.size, read));
      // These tiles are the shown head's own, so what differs is what the log has signed.
      if (!equalBytes(rootThen, remembered.root)) return { kind: 'split-view', remembered, shown };
    } catch (thrown) {
      return failed(thrown, signal);
    }
    await this.#deps.memory.save(shown.note);
    return { kind: 'grown', head: shown, from: remembered };
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

  async #fetchHead(signal: AbortSignal): Promise<LogHead> {
    const bytes = await this.#deps.fetchBytes('checkpoint', MAX_CHECKPOINT_BYTES, signal);
    return this.#parseHead(decode(bytes));
  }

  async #parseHead(text: string): Promise<LogHead> {
    const { key, verify } = this.#deps;
    const note = parseNote(text);
    const checkpoint = parseCheckpoint(note.text);
    if (checkpoint.origin !== key.name) {
      throw new ChorusError('wrong-peer', `this is the log ${checkpoint.origin}, not ${key.name}`);
    }
    if (!(await isSignedBy(note, key, verify))) {
      throw new ChorusError('bad-signature', 'the checkpoint is not signed by the key of this log');
    }
    return { ...checkpoint, note: text };
  }

  /** Null also for what is not a head of this log: another was watched under the same name. */
  async #remembered(): Promise<LogHead | null> {
    const text = await this.#deps.memory.load();
    if (text === null) return null;
    try {
      return await this.#parseHead(text);
    } catch {
      return null;
    }
  }
}

/** What a view means, in a sentence for people. */
export function describeLogView(view: LogView): string {
  switch (view.kind) {
    case 'first-seen':
      return `Seen for the first time, with ${entries(view.head.size)}. From now on it has to build on that.`;
    case 'same':
      return `Unchanged, with ${entries(view.head.size)}.`;
    case 'grown':
      return `Grown from ${entries(view.from.size)} to ${entries(view.head.size)}; nothing before was changed.`;
    case 'split-view':
      return (
        `The log shows two different histories: what it signed before, with ${entries(view.remembered.size)}, is no ` +
        `part of what it signs now, with ${entries(view.shown.size)}. Somebody is being shown something else. ` +
        `Keep both checkpoints: together they prove it.`
      );
    case 'shrunk':
      return (
        `The log shows ${entries(view.shown.size)}, but it had signed ${entries(view.remembered.size)} before. Either ` +
        `this is an old copy of it, or entries were taken back. Keep both checkpoints.`
      );
    case 'unusable':
      return `What was shown is not this log: ${view.error.message}.`;
    case 'unreachable':
      return `The log cannot be reached: ${view.error.message}.`;
  }
}

const UNUSABLE = new Set<ChorusError['code']>([
  'bad-message',
  'too-large',
  'bad-signature',
  'wrong-peer',
  'digest-mismatch',
]);

function failed(thrown: unknown, signal: AbortSignal): LogView {
  signal.throwIfAborted();
  const error = toChorusError(thrown, 'server-lost');
  return { kind: UNUSABLE.has(error.code) ? 'unusable' : 'unreachable', error };
}

function entries(size: number): string {
  return size === 1 ? '1 entry' : `${size.toLocaleString('en')} entries`;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ChorusError('bad-message', 'a checkpoint is text in UTF-8');
  }
}
