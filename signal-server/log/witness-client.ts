import { join } from 'node:path';
import { backoffMs } from '#shared/backoff.ts';
import { utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignedAt } from '#shared/log/cosignature.ts';
import { formatNote, formatVerifierKey, isSignedBy, parseNote, signaturesBy } from '#shared/log/signed-note.ts';
import { makeFolder, readIfThere, removeUnfinished, syncFolder, writeDurably } from '../machine/durable-file.ts';
import type { WitnessAddress } from '../machine/witness-address.ts';
import { askWitness, isForeign, withCosignatures, type Cosigned, type WatchedLog } from './ask-witness.ts';
import type { SignedHead } from './transparency-log.ts';

/** How long witnesses that are quicker wait for the others, so that all of them sign the same heads. */
const ROUND_MS = 500;
/** Between rounds. */
const PAUSE_MS = 100;
/** A head that does not change is cosigned again, so that its age says how recently a witness looked. */
const REFRESH_MS = 10 * 60_000;
const RETRY = { firstMs: 1_000, maxMs: 5 * 60_000 };
/** Heads whose cosignatures are kept for proofs. */
const MAX_HEADS = 16;

export interface WitnessStatus {
  readonly name: string;
  readonly url: string;
  /** Of the newest checkpoint it has cosigned; null before the first. */
  readonly size: number | null;
  readonly timeSeconds: number | null;
  /** Why it did not cosign when it was asked last; null if it did. */
  readonly error: string | null;
}

export interface WitnessClientDeps {
  readonly witnesses: readonly WitnessAddress[];
  readonly log: WatchedLog;
  /** Keeps the newest cosigned checkpoint of each witness. */
  readonly folder: string;
  readonly clock: Clock;
  /** A witness has shown that this log once had other entries. */
  readonly onFork: (error: ChorusError) => void;
  /** What a witness that was asked came to, where it is not what it came to before: null once it has cosigned. */
  readonly onWitness: (name: string, error: string | null) => void;
}

interface Cosigner {
  readonly address: WitnessAddress;
  readonly path: string;
  newest: Cosigned | null;
  error: string | null;
  failures: number;
  isBusy: boolean;
  /** It has answered, or failed to, since the start. */
  isAsked: boolean;
  /** It has cosigned since the start. */
  isHeard: boolean;
  /** It is not asked before this. */
  retryAtMs: number;
  /** It is asked then, even if nothing has changed. */
  refreshAtMs: number;
}

interface Waiter {
  readonly isOver: () => boolean;
  readonly done: () => void;
}

/**
 * Collects cosignatures in rounds: the newest head goes to all witnesses that are not busy and not in trouble. One that
 * is slow or fails holds up nobody but itself.
 */
export class WitnessClient {
  readonly #deps: WitnessClientDeps;
  readonly #members: readonly Cosigner[];
  /** By size. */
  readonly #heads = new Map<number, Map<Cosigner, Cosigned>>();
  readonly #aborter = new AbortController();
  readonly #waiters = new Set<Waiter>();
  #ring: () => void = () => {};
  #running: Promise<void> | null = null;

  constructor(deps: WitnessClientDeps) {
    this.#deps = deps;
    this.#members = deps.witnesses.map((address) => ({
      address,
      path: join(deps.folder, digestOf(utf8(formatVerifierKey(address.key)))),
      newest: null,
      error: null,
      failures: 0,
      isBusy: false,
      isAsked: false,
      isHeard: false,
      retryAtMs: -Infinity,
      refreshAtMs: -Infinity,
    }));
  }

  /**
   * Reads what was kept and begins to ask. Rejects with `wrong-peer` if a kept checkpoint is of this log but not in it:
   * the log was put back to an older copy.
   */
  async start(): Promise<void> {
    if (this.#members.length === 0) return;
    await makeFolder(this.#deps.folder);
    await removeUnfinished(this.#deps.folder);
    for (const member of this.#members) {
      const kept = await this.#readKept(member);
      if (kept !== null) this.#keep(member, kept);
    }
    this.#running = this.#run();
  }

  /** To be called when the log has grown. */
  headChanged(): void {
    this.#ring();
  }

  get status(): WitnessStatus[] {
    return this.#members.map(({ address, newest, error }) => ({
      name: address.key.name,
      url: address.url.href,
      size: newest?.head.size ?? null,
      timeSeconds: newest?.timeSeconds ?? null,
      error,
    }));
  }

  /**
   * The checkpoint of at least `minSize` entries that most witnesses have cosigned, of several the newest, as a note; null
   * if none has cosigned one.
   */
  cosignedHead(minSize: number): { readonly head: SignedHead; readonly note: string } | null {
    let best: readonly Cosigned[] = [];
    for (const [size, cosigned] of [...this.#heads].sort(([a], [b]) => a - b)) {
      if (size >= minSize && cosigned.size >= best.length) best = [...cosigned.values()];
    }
    const head = best[0]?.head;
    return head === undefined ? null : { head, note: withCosignatures(head, best) };
  }

  /** Resolves once every witness that is not in trouble has cosigned at least `size` entries, or after `timeoutMs`. */
  cosigned(size: number, timeoutMs: number): Promise<void> {
    const hasCosigned = ({ newest, error }: Cosigner): boolean => error !== null || (newest?.head.size ?? 0) >= size;
    return this.#wait(() => this.#members.every(hasCosigned), timeoutMs);
  }

  /** Resolves once every witness has been asked since the start, or after `timeoutMs`. */
  heard(timeoutMs: number): Promise<void> {
    return this.#wait(() => this.#members.every(({ isAsked }) => isAsked), timeoutMs);
  }

  /** Ends what is under way. */
  async stop(): Promise<void> {
    this.#aborter.abort(new ChorusError('cancelled', 'the log is closed'));
    this.#ring();
    for (const { done } of [...this.#waiters]) done();
    await this.#running;
  }

  async #wait(isOver: () => boolean, timeoutMs: number): Promise<void> {
    if (isOver() || this.#aborter.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stopTimer();
        this.#waiters.delete(waiter);
        resolve();
      };
      const waiter = { isOver, done };
      const stopTimer = this.#deps.clock.setTimer(done, timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#aborter;
    const asked = new Set<Promise<void>>();
    while (!signal.aborted) {
      const { head } = this.#deps.log;
      // One reading for both: what is not due yet by the one must not be in the past by the other.
      const nowMs = this.#deps.clock.nowMs();
      const due = this.#members.filter((member) => this.#isDue(member, head, nowMs));
      if (due.length === 0) {
        await this.#sleep(this.#nextDelayMs(nowMs), 'until rung');
        continue;
      }
      const round = due.map((member) => {
        const asking = this.#ask(member, head).finally(() => asked.delete(asking));
        asked.add(asking);
        return asking;
      });
      await Promise.race([Promise.all(round), this.#sleep(ROUND_MS)]);
      await this.#sleep(PAUSE_MS);
    }
    await Promise.all(asked);
  }

  #isDue({ isBusy, isHeard, newest, retryAtMs, refreshAtMs }: Cosigner, head: SignedHead, nowMs: number): boolean {
    if (isBusy || nowMs < retryAtMs) return false;
    // Of a log without entries it can only say that it knows of none.
    if (head.size === 0) return !isHeard;
    return newest === null || newest.head.size < head.size || nowMs >= refreshAtMs;
  }

  #nextDelayMs(nowMs: number): number {
    const times = this.#members.flatMap(({ retryAtMs, refreshAtMs }) => [retryAtMs, refreshAtMs]);
    return Math.min(REFRESH_MS, ...times.filter((timeMs) => timeMs > nowMs).map((timeMs) => timeMs - nowMs));
  }

  async #ask(member: Cosigner, head: SignedHead): Promise<void> {
    member.isBusy = true;
    try {
      const oldSize = member.newest?.head.size ?? 0;
      const cosigned = await askWitness(member.address, this.#deps.log, head, oldSize, this.#aborter.signal);
      if (head.size > 0) {
        await writeDurably(member.path, utf8(withCosignatures(head, [cosigned])));
        await syncFolder(this.#deps.folder);
        this.#keep(member, cosigned);
      }
      this.#cameTo(member, null);
      member.isHeard = true;
      member.failures = 0;
      member.refreshAtMs = this.#deps.clock.nowMs() + REFRESH_MS;
    } catch (thrown) {
      const error = toChorusError(thrown);
      if (error.code === 'wrong-peer') this.#deps.onFork(error);
      if (!this.#aborter.signal.aborted) this.#cameTo(member, error.message);
      member.failures += 1;
      member.retryAtMs = this.#deps.clock.nowMs() + backoffMs(member.failures, RETRY);
    } finally {
      member.isBusy = false;
      member.isAsked = true;
      for (const { isOver, done } of [...this.#waiters]) if (isOver()) done();
      this.#ring();
    }
  }

  #cameTo(member: Cosigner, error: string | null): void {
    const isNews = member.error !== error || !member.isAsked;
    member.error = error;
    if (isNews) this.#deps.onWitness(member.address.key.name, error);
  }

  #keep(member: Cosigner, cosigned: Cosigned): void {
    const { size } = cosigned.head;
    member.newest = cosigned;
    const together = this.#heads.get(size) ?? new Map<Cosigner, Cosigned>();
    together.set(member, cosigned);
    this.#heads.set(size, together);
    const oldest = [...this.#heads.keys()].sort((a, b) => a - b).slice(0, -MAX_HEADS);
    for (const old of oldest) this.#heads.delete(old);
  }

  async #readKept({ address, path }: Cosigner): Promise<Cosigned | null> {
    const bytes = await readIfThere(path);
    if (bytes === null) return null;
    try {
      return await this.#parseKept(new TextDecoder().decode(bytes), address);
    } catch (thrown) {
      const error = toChorusError(thrown);
      if (error.code === 'wrong-peer') throw error;
      // Damaged, or of other keys: the witness is simply asked again.
      return null;
    }
  }

  async #parseKept(text: string, { key }: WitnessAddress): Promise<Cosigned | null> {
    const { log } = this.#deps;
    if (await isForeign(text, log)) {
      throw new ChorusError('wrong-peer', `${key.name} has cosigned a checkpoint that this log does not have`);
    }
    const note = parseNote(text);
    const timeSeconds = await cosignedAt(note, key, verifySignature);
    if (timeSeconds === null || !(await isSignedBy(note, log.key, verifySignature))) return null;
    const signatures = signaturesBy(note, log.key);
    const head = { ...parseCheckpoint(note.text), note: formatNote({ text: note.text, signatures }) };
    return { head, signature: signaturesBy(note, key)[0]!, timeSeconds };
  }

  /** Until the time has passed or the client stops; with `until rung` also until something has changed. */
  #sleep(delayMs: number, kind: 'whole' | 'until rung' = 'whole'): Promise<void> {
    const { signal } = this.#aborter;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        stopTimer();
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const stopTimer = this.#deps.clock.setTimer(wake, delayMs);
      signal.addEventListener('abort', wake);
      if (kind === 'until rung') this.#ring = wake;
    });
  }
}
