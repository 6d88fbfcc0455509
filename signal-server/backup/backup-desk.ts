import { timingSafeEqual } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import express, { type Router } from 'express';
import { z } from 'zod';
import { toHex, utf8 } from '#shared/bytes.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { request } from '../machine/http-answer.ts';
import { writeDurably } from '../machine/durable-file.ts';
import { explainFileFault } from '../machine/file-fault.ts';
import { systemRandom } from '../machine/system-clock.ts';
import type { MadeBackup } from './make-backup.ts';

/** Where a running server is reached by the commands of its own user: only that user can read the file. */
const RUNNING_FILE = 'running.json';
const PATH = '/api/backup';
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_BACKUP_MS = 60 * 60_000;

const runningSchema = z.object({ url: z.url({ protocol: /^http$/ }), token: z.string().regex(/^[0-9a-f]{32}$/) });
const orderSchema = z.strictObject({ folder: z.string().min(1).max(4096).refine(isAbsolute) });
const madeSchema = z.object({ folder: z.string(), entries: z.number(), files: z.number(), bytes: z.number() });
const refusalSchema = z.object({
  error: z.object({ message: z.string().max(2000), exitStatus: z.literal(2).optional() }),
});

/** Makes backups of a running server for whoever can read its data folder. */
export class BackupDesk {
  readonly #dataFolder: string;
  readonly #make: (folder: string) => Promise<MadeBackup>;
  readonly #token = toHex(systemRandom(16));
  #isMaking = false;
  #opening: Promise<void> | null = null;
  #isClosed = false;

  constructor(dataFolder: string, make: (folder: string) => Promise<MadeBackup>) {
    this.#dataFolder = dataFolder;
    this.#make = make;
  }

  /** Says where the server is, unless it stops already. Throws where that cannot be written: then nobody can order. */
  async open(url: string): Promise<void> {
    if (this.#isClosed) return;
    const path = join(this.#dataFolder, RUNNING_FILE);
    const text = `${JSON.stringify({ url, token: this.#token })}\n`;
    this.#opening = writeDurably(path, utf8(text), 0o600);
    await this.#opening.catch((thrown: unknown) => {
      throw explainFileFault(thrown, path);
    });
  }

  /** Never throws: a file that stays is taken for that of a server that was killed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const isWritten = await this.#opening?.then(
      () => true,
      () => false,
    );
    if (isWritten === true) await rm(join(this.#dataFolder, RUNNING_FILE), { force: true }).catch(() => undefined);
  }

  /** `POST /api/backup`, for this server's user. For all others there is nothing. To be mounted at the root. */
  get router(): Router {
    const router = express.Router();
    router.post(PATH, (incoming, response, next) => {
      if (this.#isOwner(incoming.headers.authorization)) express.json({ limit: 16 * 1024 })(incoming, response, next);
      else response.status(404).json({ error: { code: 'not-found', message: 'there is nothing here' } });
    });
    router.post(PATH, async (incoming, response) => {
      try {
        const { folder } = orderSchema.parse(incoming.body);
        response.json(await this.#makeOne(folder));
      } catch (thrown) {
        const { code, message, details } = toChorusError(explainFileFault(thrown, this.#dataFolder));
        const error = { code, message: message.slice(0, 2000), exitStatus: details['exitStatus'] };
        response.status(code === 'internal' ? 500 : 400).json({ error });
      }
    });
    return router;
  }

  async #makeOne(folder: string): Promise<MadeBackup> {
    if (this.#isMaking) throw new ChorusError('rate-limited', 'another backup is being made');
    this.#isMaking = true;
    try {
      return await this.#make(folder);
    } finally {
      this.#isMaking = false;
    }
  }

  #isOwner(authorization = ''): boolean {
    const [given, own] = [Buffer.from(authorization), Buffer.from(`Bearer ${this.#token}`)];
    return given.length === own.length && timingSafeEqual(given, own);
  }
}

/** Has the server that runs on this data folder make a backup; null where none runs. Throws what the server refuses it with. */
export async function orderBackup(dataFolder: string, folder: string, signal: AbortSignal): Promise<MadeBackup | null> {
  const path = resolve(dataFolder, RUNNING_FILE);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw explainFileFault(error, path);
  });
  const running = text === null ? null : parseRunning(text);
  if (running === null) return null;
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${running.token}` };
  const init = { method: 'POST', headers, body: JSON.stringify({ folder }) };
  const limits = { maxBytes: MAX_ANSWER_BYTES, timeoutMs: MAX_BACKUP_MS, signal };
  const answer = await request(new URL(PATH, running.url), init, limits).catch((thrown: unknown) => {
    // The server that wrote the file was killed, and nobody or somebody else is there now.
    if (toChorusError(thrown).code === 'server-lost') return null;
    throw thrown;
  });
  if (answer === null || answer.status === 404) return null;
  const said: unknown = JSON.parse(new TextDecoder().decode(answer.body));
  if (answer.status === 200) return madeSchema.parse(said);
  const refusal = refusalSchema.safeParse(said);
  if (!refusal.success) throw new ChorusError('internal', `the server answered ${answer.status}`);
  const { message, exitStatus } = refusal.data.error;
  throw new ChorusError('internal', message, { exitStatus });
}

function parseRunning(text: string): z.infer<typeof runningSchema> | null {
  try {
    return runningSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
