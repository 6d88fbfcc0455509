import { access, constants, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from '#shared/crypto/identity.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import type { Hash } from '#shared/log/merkle.ts';
import { formatVerifierKey, parseNote } from '#shared/log/signed-note.ts';
import type { Tile } from '#shared/log/tile-path.ts';
import { formatTlogProof } from '#shared/log/tlog-proof.ts';
import { readIfThere } from '../machine/durable-file.ts';
import { openKeyFile } from '../machine/key-file.ts';
import { isThere } from '../machine/used-folder.ts';
import type { WitnessAddress } from '../machine/witness-address.ts';
import { Acknowledger, type AcknowledgerOptions } from './acknowledger.ts';
import { forgetRestored, isRestored } from './restored-log.ts';
import { doubt, openLog, unusableCheckpoint, type SignedHead, type TransparencyLog } from './transparency-log.ts';
import { WitnessClient, type WitnessStatus } from './witness-client.ts';

/** How long a start waits for the witnesses, who know whether this log was put back to an older copy. */
const FIRST_LOOK_MS = 3_000;
/** Entries that come within the second that the database lags, on a machine that was lost just then. */
const MOST_BEHIND = 1_000;
/** How often a log that could not be written looks whether it can go on. */
const LOOK_AGAIN_MS = 1_000;

export interface LogServiceOptions extends AcknowledgerOptions {
  /** The server's; the log takes `log/`, `log.key` and `witnesses/` in it. */
  readonly dataFolder: string;
  /** The log's name, if the operator chose one. */
  readonly origin: string | null;
  /** Where others reach the server; the name of a log without entries is made of it if none was chosen. */
  readonly publicUrl: string | null;
  readonly witnesses: readonly WitnessAddress[];
  /** Takes entries before a witness was heard: for whoever knows that this folder is the newest. */
  readonly unwitnessedStart?: boolean;
  /** Told once each time the log stops taking entries because it is in doubt. For the operator: the words may name files. */
  readonly onDoubt: (error: ChorusError) => void;
  /** Told once the log takes entries again: a doubt has passed, or a witness was heard. */
  readonly onGoingOn?: () => void;
  /** Told at the start of a log that has so many entries more than the database knows of: it may be an older copy. */
  readonly onDatabaseBehind?: (entries: number) => void;
  /** Told when a witness fails after it cosigned, or for another reason than before, and when it cosigns again. */
  readonly onWitness?: (name: string, error: string | null) => void;
}

export interface LogFigures {
  readonly origin: string;
  readonly verifierKey: string;
  readonly size: number;
  /** When the newest checkpoint was signed; before the first of this start, when its file was changed last. */
  readonly headAtMs: number;
  readonly startedAtMs: number;
  /** Entries added since then. */
  readonly added: number;
  /** Why the log takes no entries now; null while it does. */
  readonly doubt: string | null;
  readonly witnesses: readonly WitnessStatus[];
}

/** The log of a server, with its witnesses. */
export interface LogService {
  /** How others know the log: its origin and key. */
  readonly verifierKey: string;
  /** Adds an entry; its index is answered once nothing can take it back. Throws as `TransparencyLog.append`. */
  append(entry: Uint8Array): Promise<number>;
  /**
   * A `.tlog-proof` of an entry, with as many cosignatures as there are after `waitMs` at most. Throws RangeError for an
   * index that the log does not have.
   */
  prove(index: number, waitMs?: number): Promise<string>;
  /** Hashes that lead from an entry to the root that the log had with its first `size` entries. */
  inclusion(index: number, size: number): Promise<Hash[]>;
  /** The newest checkpoint, with what cosignatures it has. */
  readonly checkpoint: string;
  /** The newest checkpoint without them. */
  readonly head: SignedHead;
  /** As `TransparencyLog.tile`. */
  tile(tile: Tile): Promise<Uint8Array<ArrayBuffer> | null>;
  readonly status: LogFigures;
  stop(): Promise<void>;
}

/** Opens the log of a data folder. Throws `internal`, saying what to do, if it is in doubt. */
export async function openLogService(options: LogServiceOptions): Promise<LogService> {
  const { dataFolder, acknowledged, clock } = options;
  const folder = join(dataFolder, 'log');
  const keyPath = join(dataFolder, 'log.key');
  if (!(await isThere(keyPath)) && (await isThere(join(folder, 'checkpoint')))) {
    throw doubt('its key, log.key, is missing', 'the file was lost, or left out of a copy');
  }
  const identity = await openKeyFile(keyPath);
  const origin = await chooseOrigin(options, folder, identity);
  const log = await openLog({
    folder,
    origin,
    identity,
    leastSize: acknowledged.read(origin),
    onUnwritable: (reason, cause) => service.stall(reason, toChorusError(cause).message),
  });
  await access(folder, constants.W_OK);
  const behind = log.head.size - acknowledged.read(origin);
  if (behind > MOST_BEHIND) options.onDatabaseBehind?.(behind);
  const { mtimeMs } = await stat(join(folder, 'checkpoint'));
  const witnesses = new WitnessClient({
    witnesses: options.witnesses,
    log,
    folder: join(dataFolder, 'witnesses'),
    clock,
    onFork: (error) => service.halt(forkDoubt(error)),
    onWitness: (name, error) => service.witnessNews(name, error),
  });
  const acknowledger = new Acknowledger(() => log.head, options);
  const isUnknown = await isRestored(dataFolder);
  const service = new RunningLog(log, witnesses, acknowledger, options, mtimeMs, isUnknown);
  const started = acknowledger.write().then(() => witnesses.start());
  await started.catch(async (error: unknown) => {
    await service.stop();
    throw error instanceof ChorusError && error.code === 'wrong-peer' ? forkDoubt(error) : error;
  });
  await witnesses.heard(FIRST_LOOK_MS);
  service.begin();
  return service;
}

class RunningLog implements LogService {
  readonly verifierKey: string;
  readonly #log: TransparencyLog;
  readonly #witnesses: WitnessClient;
  readonly #acknowledger: Acknowledger;
  readonly #options: LogServiceOptions;
  readonly #startedAtMs: number;
  readonly #startSize: number;
  #headAtMs: number;
  /** For good. */
  #doubt: string | null = null;
  /** Until the log can be written again. */
  #stall: string | null = null;
  /** Until a witness has been heard. */
  #isUnheard: boolean;
  #hasBegun = false;
  /** Put back from a backup, and not known to be the newest. */
  #isRestored: boolean;
  #cancelLook: (() => void) | null = null;
  #isStopped = false;

  constructor(
    log: TransparencyLog,
    witnesses: WitnessClient,
    acknowledger: Acknowledger,
    options: LogServiceOptions,
    headAtMs: number,
    isUnknown: boolean,
  ) {
    this.verifierKey = formatVerifierKey(log.key);
    this.#log = log;
    this.#witnesses = witnesses;
    this.#acknowledger = acknowledger;
    this.#options = options;
    this.#headAtMs = headAtMs;
    this.#startedAtMs = options.clock.wallMs();
    this.#startSize = log.head.size;
    this.#isRestored = isUnknown;
    this.#isUnheard = (isUnknown || options.witnesses.length > 0) && options.unwitnessedStart !== true;
  }

  async append(entry: Uint8Array): Promise<number> {
    if (this.#isUnheard && this.#doubt === null) throw this.#unheardDoubt();
    const index = await this.#log.append(entry);
    this.#headAtMs = this.#options.clock.wallMs();
    this.#headChanged();
    return index;
  }

  #headChanged(): void {
    this.#acknowledger.grown();
    this.#witnesses.headChanged();
  }

  async prove(index: number, waitMs = 0): Promise<string> {
    if (waitMs > 0) await this.#witnesses.cosigned(index + 1, waitMs);
    const { head, note } = this.#witnesses.cosignedHead(index + 1) ?? {
      head: this.#log.head,
      note: this.#log.head.note,
    };
    const hashes = await this.#log.inclusion(index, head.size);
    return formatTlogProof({ extra: null, index, hashes, checkpoint: note });
  }

  inclusion(index: number, size: number): Promise<Hash[]> {
    return this.#log.inclusion(index, size);
  }

  get checkpoint(): string {
    const { head } = this.#log;
    const cosigned = this.#witnesses.cosignedHead(head.size);
    return cosigned?.head.size === head.size ? cosigned.note : head.note;
  }

  get head(): SignedHead {
    return this.#log.head;
  }

  tile(tile: Tile): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#log.tile(tile);
  }

  get status(): LogFigures {
    const { size, origin } = this.#log.head;
    return {
      origin,
      verifierKey: this.verifierKey,
      size,
      headAtMs: this.#headAtMs,
      startedAtMs: this.#startedAtMs,
      added: size - this.#startSize,
      doubt: this.#doubt ?? this.#stall ?? (this.#isUnheard ? this.#unheardDoubt().message : null),
      witnesses: this.#witnesses.status,
    };
  }

  /** To be called once the witnesses had their time to answer. */
  begin(): void {
    this.#hasBegun = true;
    if (!this.#isUnheard) this.#forgetRestored();
    if (this.#isUnheard && this.#doubt === null) this.#options.onDoubt(this.#unheardDoubt());
  }

  /** What a witness that was asked came to. One that has cosigned knows of no later entries than there are. */
  witnessNews(name: string, error: string | null): void {
    this.#options.onWitness?.(name, error);
    if (error !== null || !this.#isUnheard) return;
    this.#isUnheard = false;
    this.#forgetRestored();
    if (this.#hasBegun && this.#doubt === null && this.#stall === null) this.#options.onGoingOn?.();
  }

  /** A write has failed. `cause` is for the operator alone. */
  stall(reason: ChorusError, cause: string): void {
    if (this.#doubt !== null || this.#stall !== null) return;
    this.#stall = reason.message;
    this.#options.onDoubt(new ChorusError('internal', `${reason.message} (${cause})`));
    this.#lookLater();
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.setTimer(() => void this.#look(), LOOK_AGAIN_MS);
  }

  async #look(): Promise<void> {
    try {
      await this.#log.resume();
      this.#stall = null;
      if (this.#doubt === null && !this.#isUnheard) this.#options.onGoingOn?.();
      this.#headChanged();
    } catch (thrown) {
      // The disk's own trouble is looked at again; a doubt is for good.
      if (thrown instanceof ChorusError && thrown.code === 'internal') this.halt(thrown);
      else if (!this.#isStopped) this.#lookLater();
    }
  }

  #forgetRestored(): void {
    if (!this.#isRestored) return;
    this.#isRestored = false;
    forgetRestored(this.#options.dataFolder).catch(this.#options.onError);
  }

  #unheardDoubt(): ChorusError {
    return doubt(
      this.#isRestored
        ? 'it was put back from a backup, and no witness of it has been heard since'
        : 'no witness of it has been heard since the start',
      'only they know whether it had more entries',
      'It goes on once one of them cosigns; where it certainly had no more, start with --unwitnessed-start; where it had, begin a new log (docs/log.md).',
    );
  }

  /** Takes no more entries. */
  halt(reason: ChorusError): void {
    if (this.#doubt !== null) return;
    this.#doubt = reason.message;
    this.#log.halt(reason);
    this.#options.onDoubt(reason);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelLook?.();
    await this.#witnesses.stop();
    await this.#log.close();
    // The record may lag behind the log.
    await this.#acknowledger.stop().catch(this.#options.onError);
  }
}

/**
 * The name of the folder's log: once it has entries, the one it has. Before that the operator's choice; else the public URL
 * without scheme and `/log`; else the name it has, and one made of its key for a new log. Throws `internal` if a log
 * with entries is called otherwise than the operator chose, and if entries were acknowledged and the folder has none,
 * unless the operator has chosen the name of a new log.
 */
async function chooseOrigin(options: LogServiceOptions, folder: string, identity: Identity): Promise<string> {
  const there = await originThere(folder);
  if (there !== null && there.size > 0) {
    if (options.origin === null || options.origin === there.origin) return there.origin;
    throw new ChorusError(
      'internal',
      `the log in this data folder is ${there.origin} and has ${there.size} entries: it cannot become ${options.origin}. ` +
        `Go on with --log-origin ${there.origin}, or put the folder log/ away to begin a new log (docs/log.md).`,
    );
  }
  const url = options.publicUrl === null ? null : new URL(options.publicUrl);
  const wanted = options.origin ?? (url && `${url.host}${url.pathname.replace(/\/+$/, '')}/log`);
  const lost = options.acknowledged.largest();
  const isChosen = options.origin !== null && (there === null || there.origin === options.origin);
  if (lost !== null && !isChosen) {
    throw doubt(
      `it has no entries, but ${lost.size} of ${lost.origin} were acknowledged`,
      'files were lost, or an empty copy was put back',
    );
  }
  return wanted ?? there?.origin ?? `${identity.id.slice(0, 16)}.localhost/log`;
}

/** Null if there is no checkpoint. Throws `internal` if it cannot be read. */
async function originThere(folder: string): Promise<{ origin: string; size: number } | null> {
  const bytes = await readIfThere(join(folder, 'checkpoint'));
  if (bytes === null) return null;
  try {
    return parseCheckpoint(parseNote(new TextDecoder().decode(bytes)).text);
  } catch (thrown) {
    throw unusableCheckpoint(thrown);
  }
}

function forkDoubt(error: ChorusError): ChorusError {
  return doubt(`of a witness ${error.message}`, 'an older copy was put back, and entries were acknowledged after it');
}
