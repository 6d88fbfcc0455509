import { join } from 'node:path';
import { equalBytes, utf8 } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { checkpointText, parseCheckpoint, type Checkpoint } from '#shared/log/checkpoint.ts';
import { consistencyProof, inclusionProof, leafHash, treeRoot, type Hash } from '#shared/log/merkle.ts';
import { ED25519, formatNote, isSignedBy, keyIdOf, parseNote, type NoteKey } from '#shared/log/signed-note.ts';
import { widthAt } from '#shared/log/tile-hashes.ts';
import { MAX_ENTRY_BYTES, TILE_WIDTH, entryTooLarge, type Tile } from '#shared/log/tile-path.ts';
import { makeFolder, readIfThere, removeUnfinished, syncFolder, writeDurably } from '../machine/durable-file.ts';
import { fileFaultOf } from '../machine/file-fault.ts';
import { grow, TileFiles } from './tile-files.ts';

/** Entries of one batch; more wait for the next. */
const MAX_BATCH = 4_096;
/** Entries that may wait; beyond, appends are refused rather than kept in memory. */
const MAX_WAITING = 65_536;

export interface SignedHead extends Checkpoint {
  /** The signed note, without cosignatures. */
  readonly note: string;
}

interface Waiting {
  readonly entry: Uint8Array;
  readonly resolve: (index: number) => void;
  readonly reject: (error: ChorusError) => void;
}

export interface LogOptions {
  /** Holds nothing but the log: `checkpoint` and `tile/`, to be served as they are. */
  readonly folder: string;
  /** A URL without scheme. */
  readonly origin: string;
  readonly identity: Identity;
  /** The size that was acknowledged last by another witness of it (the database), so that an old copy is noticed. */
  readonly leastSize: number;
  /** Told when a write has failed: why the log takes nothing until `resume`, and `cause`, which may name files. */
  readonly onUnwritable?: (reason: ChorusError, cause: unknown) => void;
}

/** What the log would come to with a batch: where its checkpoint reaches the disk, that is the log. */
interface Grown {
  readonly head: SignedHead;
  readonly edge: Hash[][];
  readonly bundle: readonly Uint8Array[];
}

/**
 * An append-only log with one writer (the data folder's lock sees to that). An index is given out only once the entry,
 * its hashes and the signed checkpoint that covers them have reached the disk, in this order; a crash before that leaves
 * files beyond the checkpoint that are no part of the log and are written over.
 */
export class TransparencyLog {
  readonly key: NoteKey;
  readonly #options: LogOptions;
  readonly #tiles: TileFiles;
  #edge: Hash[][];
  #bundle: readonly Uint8Array[];
  #head: SignedHead;
  readonly #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;
  /** Why the log takes no more, for good. */
  #failure: ChorusError | null = null;
  /** Why it takes nothing until `resume`. */
  #stall: ChorusError | null = null;
  /** The batch whose checkpoint was being written when a write failed. */
  #begun: Grown | null = null;

  /** For `openLog`. */
  constructor(options: LogOptions, tiles: TileFiles, head: SignedHead, edge: Hash[][], bundle: readonly Uint8Array[]) {
    this.#options = options;
    this.key = keyOf(options);
    this.#tiles = tiles;
    this.#head = head;
    this.#edge = edge;
    this.#bundle = bundle;
  }

  /** The head that is on the disk and acknowledged. */
  get head(): SignedHead {
    return this.#head;
  }

  /**
   * Adds an entry and answers its index once nothing can take it back. Throws `too-large`, `rate-limited` if too many
   * wait, and `internal` once a write has failed: the log then takes nothing until `resume`.
   */
  append(entry: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (entry.length > MAX_ENTRY_BYTES) throw entryTooLarge(entry);
      const refusal = this.#failure ?? this.#stall;
      if (refusal !== null) throw refusal;
      if (this.#waiting.length >= MAX_WAITING) throw new ChorusError('rate-limited', 'the log is behind');
      this.#waiting.push({ entry, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Hashes that lead from the entry to the root of the tree of `size` entries. */
  inclusion(index: number, size: number): Promise<Hash[]> {
    return this.#tiles.withHashes(this.#sizeUpTo(size), (read) => inclusionProof(index, size, read));
  }

  /** Hashes that show the tree of `newSize` to begin with that of `oldSize`. */
  consistency(oldSize: number, newSize: number): Promise<Hash[]> {
    return this.#tiles.withHashes(this.#sizeUpTo(newSize), (read) => consistencyProof(oldSize, newSize, read));
  }

  /** The root that the log had with its first `size` entries. */
  rootAt(size: number): Promise<Hash> {
    return this.#tiles.withHashes(this.#sizeUpTo(size), (read) => treeRoot(size, read));
  }

  async entry(index: number): Promise<Uint8Array<ArrayBuffer>> {
    if (index < 0 || index >= this.#head.size) throw new RangeError(`the log has no entry ${index}`);
    const entries = await this.#tiles.entries(Math.floor(index / TILE_WIDTH), this.#head.size);
    return entries[index % TILE_WIDTH]!;
  }

  /**
   * A tile as it is served; null unless the log has come so far. Cut from the newest one, so that nothing shows that a
   * crash left beyond the checkpoint.
   */
  async tile(tile: Tile): Promise<Uint8Array<ArrayBuffer> | null> {
    const { size } = this.#head;
    const width = widthAt(tile.level === 'entries' ? 0 : tile.level, tile.index, size);
    return tile.width > width ? null : this.#tiles.bytes(tile, size);
  }

  /** Takes no more entries, for a reason that was found outside; those that wait for the batch under way are refused. */
  halt(reason: ChorusError): void {
    this.#failure ??= reason;
    this.#refuseWaiting(this.#failure);
  }

  /**
   * After a write that failed: goes on if the disk has what was acknowledged, and takes a write again. Rejects with a
   * doubt, which is for good, where it has something else, and with the disk's reason while it takes nothing.
   */
  async resume(): Promise<void> {
    if (this.#stall === null || this.#failure !== null) return;
    await this.#writing;
    this.#tiles.forget();
    const note = await readIfThere(join(this.#options.folder, 'checkpoint'));
    const text = note === null ? '' : new TextDecoder().decode(note);
    const there = [this.#begun, this.#grown].find((each) => each?.head.note === text);
    if (there === undefined || there === null) {
      throw doubt('its checkpoint is not the one that was written last', 'the file was changed while the disk failed');
    }
    await checkRoot(this.#tiles, there.head).catch(lost);
    // Not only looked at: a disk that is still full would take the next entry no better than the last.
    await writeHead(this.#options.folder, there.head);
    this.#goOnFrom(there);
    this.#stall = null;
  }

  /** Waits for the batch that is being written; what is not begun is refused. */
  async close(): Promise<void> {
    this.halt(new ChorusError('cancelled', 'the log is closed'));
    await this.#writing;
  }

  /** Tiles are read at the size that is on the disk; smaller trees are parts of it. */
  #sizeUpTo(size: number): number {
    if (size > this.#head.size) throw new RangeError(`the log has ${this.#head.size} entries, not ${size}`);
    return this.#head.size;
  }

  async #writeAll(): Promise<void> {
    // Appends of the same turn share the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      try {
        const first = this.#head.size;
        await this.#write(batch.map(({ entry }) => entry));
        batch.forEach(({ resolve }, i) => resolve(first + i));
      } catch (thrown) {
        // Nobody knows how much reached the disk, and so whether this tree may be signed: `resume` finds out.
        const reason = unwritable(thrown);
        this.#stall = reason;
        this.#refuseWaiting(reason);
        for (const { reject } of batch) reject(reason);
        this.#options.onUnwritable?.(reason, thrown);
      }
    }
    this.#writing = null;
  }

  async #write(entries: readonly Uint8Array[]): Promise<void> {
    const { size } = this.#head;
    const added = entries.map((entry) => ({ entry, leaf: leafHash(entry) }));
    const edge = this.#edge.map((hashes) => [...hashes]);
    const { tiles, bundle } = grow(size, edge, this.#bundle, added);
    await this.#tiles.write(tiles);
    const newSize = size + entries.length;
    const root = await this.#tiles.withHashes(newSize, (read) => treeRoot(newSize, read));
    const head = await signHead(this.#options, newSize, root);
    this.#begun = { head, edge, bundle };
    await writeHead(this.#options.folder, head);
    this.#goOnFrom(this.#begun);
    await this.#tiles.dropPartial(tiles.map(({ tile }) => tile));
  }

  get #grown(): Grown {
    return { head: this.#head, edge: this.#edge, bundle: this.#bundle };
  }

  #goOnFrom({ head, edge, bundle }: Grown): void {
    this.#edge = edge;
    this.#bundle = bundle;
    this.#head = head;
    this.#begun = null;
  }

  #refuseWaiting(reason: ChorusError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }
}

/**
 * Opens the log of a folder, or begins one. It refuses to run on doubt, with `internal` and what to do: a checkpoint that
 * is missing, not signed by this key, of another origin or smaller than what was acknowledged; a file that does
 * not fit the others, all of which are read.
 */
export async function openLog(options: LogOptions): Promise<TransparencyLog> {
  // Beside it lies the log's key, whose name reaches the disk with the folder's.
  await makeFolder(options.folder);
  await removeUnfinished(options.folder);
  const tiles = new TileFiles(options.folder);
  const head = await readHead(options, tiles);
  const { size } = head;
  if (size < options.leastSize) {
    throw doubt(`it has ${size} entries, but ${options.leastSize} were acknowledged`, 'an older copy was put back');
  }
  await checkFiles(tiles, head).catch(lost);
  const edge: Hash[][] = [];
  for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
    const index = Math.floor(count / TILE_WIDTH);
    edge.push(widthAt(level, index, size) > 0 ? await tiles.hashes(level, index, size) : []);
  }
  const bundle = size % TILE_WIDTH === 0 ? [] : await tiles.entries(Math.floor(size / TILE_WIDTH), size);
  return new TransparencyLog(options, tiles, head, edge, bundle);
}

/** Throws `internal` with what does not fit. */
async function checkFiles(tiles: TileFiles, head: SignedHead): Promise<void> {
  await checkRoot(tiles, head);
  const wrong = await tiles.firstWrong(head.size);
  if (wrong !== null) throw new ChorusError('internal', `its file ${wrong} is not what it was`);
}

async function checkRoot(tiles: TileFiles, { size, root }: SignedHead): Promise<void> {
  if (equalBytes(await tiles.withHashes(size, (read) => treeRoot(size, read)), root)) return;
  throw new ChorusError('internal', 'its tiles do not give the root of its checkpoint');
}

/** A file that does not fit is a doubt; a disk that cannot be read for a moment is none. */
function lost(thrown: unknown): never {
  const isWrong = thrown instanceof ChorusError && thrown.code === 'internal';
  throw isWrong ? doubt(thrown.message, 'files were changed or lost') : thrown;
}

async function readHead(options: LogOptions, tiles: TileFiles): Promise<SignedHead> {
  const bytes = await readIfThere(join(options.folder, 'checkpoint'));
  if (bytes === null) {
    // No tile is ever written before the first checkpoint, not even by a start that was cut off.
    if (options.leastSize > 0 || (await tiles.areThere()))
      throw doubt('its checkpoint is missing', 'a file was removed');
    return begin(options);
  }
  return (await usable(bytes, options)) ?? begin(options);
}

/** Null if it is of a log of another origin without entries, which has promised nothing. Throws `internal`. */
async function usable(bytes: Uint8Array, options: LogOptions): Promise<SignedHead | null> {
  const note = new TextDecoder().decode(bytes);
  try {
    const parsed = parseNote(note);
    const checkpoint = parseCheckpoint(parsed.text);
    if (checkpoint.origin !== options.origin) {
      if (checkpoint.size === 0) return null;
      throw new ChorusError('wrong-peer', `it is of ${checkpoint.origin}, not of ${options.origin}`);
    }
    if (!(await isSignedBy(parsed, keyOf(options), verifySignature))) {
      throw new ChorusError('bad-signature', 'it is signed by another key');
    }
    return { ...checkpoint, note };
  } catch (thrown) {
    throw unusableCheckpoint(thrown);
  }
}

async function begin(options: LogOptions): Promise<SignedHead> {
  const root = treeRoot(0, () => new Uint8Array(32));
  const head = await signHead(options, 0, root);
  await writeHead(options.folder, head);
  return head;
}

async function signHead(options: LogOptions, size: number, root: Hash): Promise<SignedHead> {
  const checkpoint = { origin: options.origin, size, root };
  const text = checkpointText(checkpoint);
  const key = keyOf(options);
  const signature = await options.identity.sign(utf8(text));
  return {
    ...checkpoint,
    note: formatNote({ text, signatures: [{ name: key.name, keyId: keyIdOf(key), signature }] }),
  };
}

async function writeHead(folder: string, { note }: SignedHead): Promise<void> {
  await writeDurably(join(folder, 'checkpoint'), utf8(note));
  await syncFolder(folder);
}

function keyOf({ origin, identity }: Pick<LogOptions, 'origin' | 'identity'>): NoteKey {
  return { name: origin, type: ED25519, publicKey: identity.publicKey };
}

const PUT_BACK =
  'Put the newest copy of the log folder back, or put the folder away and begin a new log with another --log-origin (docs/log.md).';

/** Why a log must not go on: `what` is wrong, probably because `why`. Everybody may read it (`details.isTold`). */
export function doubt(what: string, why: string, advice = PUT_BACK): ChorusError {
  return new ChorusError('internal', `the transparency log is in doubt: ${what} (${why}). ${advice}`, {
    isTold: true,
    exitStatus: 2,
  });
}

/** For a write that failed: a doubt that may pass. */
function unwritable(thrown: unknown): ChorusError {
  const { what, advice } = fileFaultOf(thrown) ?? { what: 'the disk fails', advice: 'Look at the disk' };
  const rest = 'the log goes on by itself after that, and nothing that was acknowledged is lost (docs/log.md).';
  return doubt('it cannot be written', what, `${advice}: ${rest}`);
}

/** For a checkpoint that cannot be read, or is not of this log, because of `thrown`. */
export function unusableCheckpoint(thrown: unknown): ChorusError {
  const { message } = toChorusError(thrown);
  return doubt(`its checkpoint cannot be used: ${message}`, 'it was damaged, or the key or the folder was exchanged');
}
