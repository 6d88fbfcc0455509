import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from '#shared/crypto/identity.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { formatVerifierKey, parseNote } from '#shared/log/signed-note.ts';
import type { Tile } from '#shared/log/tile-path.ts';
import { formatTlogProof } from '#shared/log/tlog-proof.ts';
import { readIfThere } from '../machine/durable-file.ts';
import { openKeyFile } from '../machine/key-file.ts';
import type { WitnessAddress } from '../machine/witness-address.ts';
import { Acknowledger, type AcknowledgerOptions } from './acknowledger.ts';
import { doubt, openLog, unusableCheckpoint, type TransparencyLog } from './transparency-log.ts';
import { WitnessClient, type WitnessStatus } from './witness-client.ts';

/** How long a start waits for the witnesses, who know whether this log was put back to an older copy. */
const FIRST_LOOK_MS = 3_000;
/** How long the database may lag behind the log. */

export interface LogServiceOptions extends AcknowledgerOptions {
  /** The server's; the log takes `log/`, `log.key` and `witnesses/` in it. */
  readonly dataFolder: string;
  /** The log's name, if the operator chose one. */
  readonly origin: string | null;
  /** Where others reach the server; the name of a log without entries is made of it if none was chosen. */
  readonly publicUrl: string | null;
  readonly witnesses: readonly WitnessAddress[];
  /** Told once when the log stops taking entries because it is in doubt. For the operator: the words may name files. */
  readonly onDoubt: (error: ChorusError) => void;
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
  /** Why the log takes no more entries; null while it does. */
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
  /** The newest checkpoint, with what cosignatures it has. */
  readonly checkpoint: string;
  /** As `TransparencyLog.tile`. */
  tile(tile: Tile): Promise<Uint8Array<ArrayBuffer> | null>;
  readonly status: LogFigures;
  stop(): Promise<void>;
}

/** Opens the log of a data folder. Throws `internal`, saying what to do, if it is in doubt. */
export async function openLogService(options: LogServiceOptions): Promise<LogService> {
  const { dataFolder, acknowledged, clock } = options;
  const folder = join(dataFolder, 'log');
  const identity = await openKeyFile(join(dataFolder, 'log.key'));
  const origin = await chooseOrigin(options, folder, identity);
  const log = await openLog({
    folder,
    origin,
    identity,
    leastSize: acknowledged.read(origin),
    onUnwritable: (reason, cause) => service.halt(reason, toChorusError(cause).message),
  });
  const { mtimeMs } = await stat(join(folder, 'checkpoint'));
  const witnesses = new WitnessClient({
    witnesses: options.witnesses,
    log,
    folder: join(dataFolder, 'witnesses'),
    clock,
    onFork: (error) => service.halt(forkDoubt(error)),
  });
  const acknowledger = new Acknowledger(() => log.head, options);
  const service = new RunningLog(log, witnesses, acknowledger, options, mtimeMs);
  const started = acknowledger.write().then(() => witnesses.start());
  await started.catch(async (error: unknown) => {
    await service.stop();
    throw error instanceof ChorusError && error.code === 'wrong-peer' ? forkDoubt(error) : error;
  });
  if (log.head.size > 0) await witnesses.heard(FIRST_LOOK_MS);
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
  #doubt: string | null = null;

  constructor(
    log: TransparencyLog,
    witnesses: WitnessClient,
    acknowledger: Acknowledger,
    options: LogServiceOptions,
    headAtMs: number,
  ) {
    this.verifierKey = formatVerifierKey(log.key);
    this.#log = log;
    this.#witnesses = witnesses;
    this.#acknowledger = acknowledger;
    this.#options = options;
    this.#headAtMs = headAtMs;
    this.#startedAtMs = options.clock.wallMs();
    this.#startSize = log.head.size;
  }

  async append(entry: Uint8Array): Promise<number> {
    const index = await this.#log.append(entry);
    this.#headAtMs = this.#options.clock.wallMs();
    this.#acknowledger.grown();
    this.#witnesses.headChanged();
    return index;
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

  get checkpoint(): string {
    const { head } = this.#log;
    const cosigned = this.#witnesses.cosignedHead(head.size);
    return cosigned?.head.size === head.size ? cosigned.note : head.note;
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
      doubt: this.#doubt,
      witnesses: this.#witnesses.status,
    };
  }

  /** `cause` is for the operator alone. */
  halt(reason: ChorusError, cause: string | null = null): void {
    if (this.#doubt !== null) return;
    this.#doubt = reason.message;
    this.#log.halt(reason);
    this.#options.onDoubt(cause === null ? reason : new ChorusError('internal', `${reason.message} (${cause})`));
  }

  async stop(): Promise<void> {
    await this.#witnesses.stop();
    await this.#log.close();
    await this.#acknowledger.stop();
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
