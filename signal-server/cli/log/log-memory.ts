import { open, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { Option } from 'commander';
import { z } from 'zod';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { parseLogHead, type LogHead } from '#shared/log/log-head.ts';
import { MAX_KNOWN_HEADS, UNKNOWN_LOG, type KnownLog } from '#shared/log/log-history.ts';
import { formatVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';
import { makeFolder, syncFolder, writeDurably } from '../../machine/durable-file.ts';
import { withLockFile } from './lock-file.ts';

const FORMAT = 'chorus-log-memory/1';
const MAX_FILE_BYTES = 4 * 1024 * 1024;

const noteSchema = z.string().max(64 * 1024);
const memorySchema = z.strictObject({
  format: z.literal(FORMAT),
  vkey: z.string().max(400),
  heads: z.array(noteSchema).min(1).max(MAX_KNOWN_HEADS),
  split: z.tuple([noteSchema, noteSchema]).nullable(),
  isDoubted: z.literal(true).optional(),
});

/** The memory that commands have of one log, in a file of its own. */
export class LogMemory {
  readonly path: string;
  readonly #folder: string;
  readonly #key: NoteKey;
  /** The text of the file when it was read; null where there was none. */
  #text: string | null = null;

  constructor(folder: string, key: NoteKey) {
    this.#folder = resolve(folder);
    this.#key = key;
    this.path = join(this.#folder, `${placeOf(key.name)}${shortDigest(formatVerifierKey(key))}.json`);
  }

  /** Throws `bad-message` if the file is not as it was written: no command begins a memory anew by itself. */
  async read(): Promise<KnownLog> {
    try {
      this.#text = await readText(this.path);
      return this.#text === null ? UNKNOWN_LOG : await this.#parse(this.#text);
    } catch (thrown) {
      const reason = thrown instanceof z.ZodError ? 'it has another form' : toChorusError(thrown).message;
      throw new ChorusError(
        'bad-message',
        `what ${this.path} remembers of this log cannot be used: ${reason}. Put a copy back, or remove it to begin anew`,
      );
    }
  }

  /**
   * Whole or not at all; on the disk when this returns. False, and nothing is written, where another command has written
   * there since `read`: what that one knows would be lost. Throws `timeout` where another holds the file for too long.
   */
  async write({ heads, split, isDoubted }: KnownLog): Promise<boolean> {
    const memory = {
      format: FORMAT,
      vkey: formatVerifierKey(this.#key),
      heads: heads.map(({ note }) => note),
      split: split && split.map(({ note }) => note),
      ...(isDoubted && { isDoubted }),
    };
    await makeFolder(this.#folder);
    // Hidden, like files that are being written: `ofOtherKey` takes neither for a memory.
    return withLockFile(join(this.#folder, `.${basename(this.path)}.lock`), async () => {
      if ((await readText(this.path)) !== this.#text) return false;
      await writeDurably(this.path, utf8(`${JSON.stringify(memory, null, 2)}\n`));
      await syncFolder(this.#folder);
      return true;
    });
  }

  /** The file of a log of this name with another key, where this key is not known; else null. */
  async ofOtherKey(): Promise<string | null> {
    const names = await readdir(this.#folder).catch(() => []);
    const files = names
      .filter((name) => name.startsWith(placeOf(this.#key.name)))
      .map((name) => join(this.#folder, name));
    return files.includes(this.path) ? null : (files[0] ?? null);
  }

  async #parse(text: string): Promise<KnownLog> {
    const { vkey, heads, split, isDoubted = false } = memorySchema.parse(JSON.parse(text));
    if (vkey !== formatVerifierKey(this.#key)) throw new ChorusError('wrong-peer', 'it is of another log');
    const parse = (note: string): Promise<LogHead> => parseLogHead(note, this.#key, verify);
    return {
      heads: await Promise.all(heads.map(parse)),
      split: split && [await parse(split[0]), await parse(split[1])],
      isDoubted,
    };
  }
}

/** Why nothing is remembered where `memoryOption` has come to null. */
export const NO_MEMORY =
  'nothing of the log is remembered, for this user has no home folder: say --memory FOLDER, or --no-remember';

/** Where commands remember logs; whatever the folder a command is run in, it is the same. Null for a user without a home. */
export function memoryOption(): Option {
  const state = process.env['XDG_STATE_HOME'] ?? '';
  const folder = state.startsWith('/') ? state : stateAtHome();
  return new Option('--memory <folder>', 'where the newest checkpoints of logs are remembered')
    .env('CHORUS_MEMORY')
    .default(folder && join(folder, 'chorus', 'logs'), folder === null ? 'none: no home folder' : undefined);
}

function stateAtHome(): string | null {
  try {
    return join(homedir(), '.local', 'state');
  } catch {
    return null;
  }
}

export function noRememberOption(): Option {
  return new Option('--no-remember', 'neither compare the log with what is remembered nor remember it');
}

const shortDigest = (text: string): string => digestOf(utf8(text)).slice(0, 32);
const placeOf = (origin: string): string => `${shortDigest(origin)}-`;

async function readText(path: string): Promise<string | null> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    if ((await file.stat()).size > MAX_FILE_BYTES) throw new ChorusError('too-large', 'it is too large');
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile());
  } finally {
    await file.close();
  }
}
