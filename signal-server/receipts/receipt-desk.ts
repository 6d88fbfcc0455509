import { RateLimiterMemory } from 'rate-limiter-flexible';
import { toBase64 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { CLOCK_SKEW_MS, MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { fileOf, parseReceiptFile, parseStatement, receiptId, versionOf } from '#shared/receipt/read-receipt.ts';
import { entryOf } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile, ReceiptPredicate, ReceiptStatement } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import type { LogService } from '../log/log-service.ts';
import type { Config } from '../machine/config.ts';
import { LivedTime } from '../machine/lived-time.ts';
import type { ModelCatalog } from '../placement/model-catalog.ts';
import type { ReceiptStore } from '../store/receipt-store.ts';
import { checkSize } from './check-size.ts';
import { newestFirst } from './log-entries.ts';

export const MAX_RECEIPT_BYTES = 1024 * 1024;
/** The store is tidied early once this part of its room is filled anew. */
const TIDY_SHARE = 16;
const DAY_MS = 24 * 60 * 60_000;
/** Receipts of older answers are not logged: an entry says about when its answer was given. */
const MAX_AGE_MS = DAY_MS;

export interface ReceiptDeskDeps {
  readonly clock: Clock;
  readonly log: Pick<LogService, 'append' | 'prove' | 'tile' | 'status' | 'verifierKey'>;
  readonly store: ReceiptStore;
  readonly catalog: Pick<ModelCatalog, 'get'>;
  /** Raw key that signs this server's routes, 32 bytes. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  /** True for the key of this server's own gateway. */
  readonly isGateway: (id: PeerId) => boolean;
  readonly config: Pick<Config, 'witnesses' | 'receiptDays' | 'receiptCount' | 'receiptBytes'> & {
    readonly limits: Pick<Config['limits'], 'receiptsPerSession' | 'receiptsPerRequesterPerMinute'>;
  };
  readonly onAccepted: () => void;
  /** The check that failed, or the code of the error. */
  readonly onRefused: (reason: string) => void;
}

/** Takes receipts of answers over this server's routes into the log, keeps them, and gives them out with their proofs. */
export class ReceiptDesk {
  readonly #deps: ReceiptDeskDeps;
  readonly #serverKey: string;
  readonly #limiter: RateLimiterMemory;
  readonly #lived: LivedTime;
  readonly #entering = new Map<Digest, Promise<number>>();
  /** Receipts between their beginning and what the log said. */
  readonly #underWay = new Set<Digest>();
  /** Set once a write has failed: whether the log has the entry shows when it is settled. */
  #failure: ChorusError | null = null;
  #settling: Promise<void> | null = null;
  /** Of receipts that came since the store was tidied. */
  #freshBytes = 0;

  constructor(deps: ReceiptDeskDeps) {
    this.#deps = deps;
    this.#serverKey = toBase64(deps.serverKey);
    this.#limiter = new RateLimiterMemory({ points: deps.config.limits.receiptsPerRequesterPerMinute, duration: 60 });
    this.#lived = new LivedTime(deps.clock, deps.store.growth(deps.log.verifierKey).at(-1)?.atMs ?? null);
  }

  /** The time by which what is old is dropped. */
  get livedMs(): number {
    return this.#lived.wallMs;
  }

  /** Settles what a crash, or a write that failed, left between the store and the log. To be called before anything else. */
  async recover(): Promise<void> {
    const { log, store } = this.#deps;
    const pending = (await store.pending()).filter(({ id }) => !this.#underWay.has(id));
    const wanted = new Map(pending.filter((each) => each.log === log.verifierKey).map((each) => [each.id, each]));
    const start = Math.min(...[...wanted.values()].map(({ logSize }) => logSize));
    const found: { readonly id: Digest; readonly index: number }[] = [];
    for await (const { id, index } of newestFirst(log, start, log.status.size)) {
      if (wanted.delete(id)) found.push({ id, index });
      if (wanted.size === 0) break;
    }
    const lost = pending.filter(({ id, log: of }) => of !== log.verifierKey || wanted.has(id));
    await Promise.all([
      ...found.map(({ id, index }) => store.confirm(id, index)),
      ...lost.map(({ id }) => store.abandon(id)),
    ]);
  }

  /** Settles what a write that failed has left, once the log takes entries again. Rejects while it cannot. */
  async settle(): Promise<void> {
    const failure = this.#failure;
    if (failure === null) return;
    if (this.#deps.log.status.doubt !== null) throw failure;
    this.#settling ??= this.recover()
      .then(() => {
        if (this.#failure === failure) this.#failure = null;
      })
      .finally(() => (this.#settling = null));
    await this.#settling;
  }

  /**
   * Verifies a receipt and puts it into the log; answers once nothing can take it back, the same for the same receipt
   * again. Waits up to `waitMs` for cosignatures. Throws `too-large`; `bad-message`, with the name of the failed check as
   * `details.check`; `rate-limited`; and as `LogService.append`.
   */
  async accept(envelope: unknown, waitMs = 0): Promise<ReceiptFile> {
    try {
      const file = parse(envelope);
      const predicate = await this.#verified(file);
      return await this.#withProof(file, await this.#indexOf(file, predicate), waitMs);
    } catch (thrown) {
      const error = toChorusError(thrown);
      this.#deps.onRefused(reasonOf(error));
      throw error;
    }
  }

  /** A logged receipt with its newest proof; `file` is null if its envelope is no longer kept. Null if there is none. */
  async read(id: Digest): Promise<{ readonly index: number; readonly file: ReceiptFile | null } | null> {
    const { log, store } = this.#deps;
    const stored = await store.get(id, log.verifierKey);
    if (stored === null) return null;
    const { index, envelope } = stored;
    if (envelope === null) return { index, file: null };
    return { index, file: await this.#withProof(fileOf(envelope), index, 0) };
  }

  /** The state of the log, as it is told. */
  get status(): LogStatus {
    const { log, store, clock, config } = this.#deps;
    const { origin, verifierKey, size, headAtMs, witnesses, doubt } = log.status;
    const now = { atMs: Math.floor(clock.wallMs()), size };
    return {
      origin,
      vkey: verifierKey,
      size,
      checkpointAtMs: headAtMs,
      history: [...store.growth(verifierKey), now],
      witnesses: witnesses.map(({ name, size, timeSeconds, error }) => ({
        name,
        vkey: formatVerifierKey(config.witnesses.find(({ key }) => key.name === name)!.key),
        size,
        cosignedAtMs: timeSeconds === null ? null : 1000 * timeSeconds,
        error: error?.slice(0, MAX_REASON_CHARACTERS) ?? null,
      })),
      doubt: doubt?.slice(0, 1000) ?? null,
    };
  }

  /** Puts the log's size on record and drops what is too old or too much. */
  async tidy(): Promise<void> {
    const { log, store, clock, config } = this.#deps;
    const wallMs = clock.wallMs();
    const freshBytes = this.#freshBytes;
    this.#freshBytes = 0;
    try {
      await Promise.all([
        store.addGrowth(log.verifierKey, wallMs, log.status.size),
        store.prune(this.livedMs - config.receiptDays * DAY_MS, config.receiptCount, config.receiptBytes),
      ]);
    } catch (error) {
      this.#freshBytes += freshBytes;
      throw error;
    }
  }

  async #verified(file: ReceiptFile): Promise<ReceiptPredicate> {
    const statement = statementIn(file);
    const { predicate } = statement;
    if (versionOf(statement) === 1) throw refusal('version', 'receipts of version 1 are no longer logged: update');
    this.#checkOurs(predicate);
    // A receipt without a route of this server gets no further than its signature.
    const { checks } = await verifyReceipt({ receipt: file, verify, stopsAtFailure: true });
    const failed = checks.find(({ status }) => status === 'failed');
    if (failed !== undefined) throw refusal(failed.name, failed.detail);
    // Its attestations can be read, now that their signatures are good.
    demandSize(file, statement);
    // The limits that its findings were held to are the requester's word, unless they are known.
    const thresholds = checks.find(({ name }) => name === 'thresholds');
    const isCompared = predicate.spans.some(({ stages }) => stages.some(({ findings }) => findings.length > 0));
    if (thresholds?.status !== 'passed' && isCompared) throw refusal('thresholds', thresholds?.detail ?? 'not checked');
    return predicate;
  }

  /** The receipt is of this server: of its route, its model, and its gateway if it says so. */
  #checkOurs({ requester, route, model }: ReceiptPredicate): void {
    if (route.serverKey !== this.#serverKey) throw refusal('server', 'another server signed the route');
    if ((requester.kind === 'gateway') !== this.#deps.isGateway(requester.id)) {
      throw refusal('requester-kind', "only this server's gateway is its gateway");
    }
    const known = this.#deps.catalog.get(model.manifest.sha256 as Digest);
    if (known === undefined) return;
    const { name, source, config, pins } = known.manifest;
    const isSame =
      model.name === name &&
      model.root.sha256 === source.root &&
      model.layers === config.layers &&
      model.hiddenSize === config.hiddenSize &&
      model.quantization === pins.quantization &&
      model.runtime.name === pins.runtime &&
      model.runtime.version === pins.runtimeVersion;
    if (!isSame) throw refusal('model', 'the manifest says something else of the model');
  }

  /** The entry of a verified receipt, made unless it is there. */
  #indexOf(file: ReceiptFile, predicate: ReceiptPredicate): Promise<number> {
    const id = receiptId(file);
    // Looking is part of entering: a receipt looked for before another call entered it would enter a second time.
    const entering =
      this.#entering.get(id) ?? this.#enter(id, file, predicate).finally(() => this.#entering.delete(id));
    this.#entering.set(id, entering);
    return entering;
  }

  async #enter(id: Digest, file: ReceiptFile, predicate: ReceiptPredicate): Promise<number> {
    const { requester, session, record, finishedAt } = predicate;
    const { clock, config, log, store } = this.#deps;
    const known = await store.get(id, log.verifierKey);
    if (known !== null) return known.index;
    const ageMs = clock.wallMs() - Date.parse(finishedAt);
    if (ageMs > MAX_AGE_MS || ageMs < -CLOCK_SKEW_MS) throw refusal('age', 'by the clock here it is not of today');
    if (!this.#deps.isGateway(requester.id)) await this.#limit(requester.id);
    while (this.#failure !== null) await this.settle();
    this.#underWay.add(id);
    let index: number;
    try {
      const at = { log: log.verifierKey, logSize: log.status.size, atMs: clock.wallMs() };
      const begun = { id, session, record: record!, envelope: file.envelope, ...at };
      const beginning = await store.begin(begun, config.limits.receiptsPerSession);
      if (beginning === 'full') throw new ChorusError('rate-limited', 'this session has too many receipts');
      if (beginning === 'contradicted') {
        throw refusal(
          'record',
          `another receipt of its session says that it is record ${record!.number}, or follows it`,
        );
      }
      index = await this.#append(id, predicate);
    } finally {
      this.#underWay.delete(id);
    }
    this.#deps.onAccepted();
    this.#freshBytes += file.envelope.payload.length;
    if (this.#freshBytes > config.receiptBytes / TIDY_SHARE) await this.tidy();
    return index;
  }

  async #append(id: Digest, predicate: ReceiptPredicate): Promise<number> {
    const { log, store } = this.#deps;
    try {
      const index = await log.append(entryOf(id, predicate));
      await store.confirm(id, index);
      return index;
    } catch (thrown) {
      const error = toChorusError(thrown);
      if (error.code === 'internal') this.#failure = error;
      else await store.abandon(id);
      throw error;
    }
  }

  async #limit(requester: PeerId): Promise<void> {
    await this.#limiter.consume(requester).catch(() => {
      throw new ChorusError('rate-limited', 'too many receipts of this key: wait a minute');
    });
  }

  async #withProof(file: ReceiptFile, index: number, waitMs: number): Promise<ReceiptFile> {
    return { ...file, proof: await this.#deps.log.prove(index, waitMs) };
  }
}

function parse(envelope: unknown): ReceiptFile {
  let file: ReceiptFile;
  try {
    file = parseReceiptFile({ format: 'chorus-receipt/2', envelope, proof: null });
  } catch (thrown) {
    throw refusal('format', toChorusError(thrown).message);
  }
  if (file.envelope.payload.length > MAX_RECEIPT_BYTES) {
    throw new ChorusError('too-large', `the receipt is too large; at most ${MAX_RECEIPT_BYTES} bytes are allowed`);
  }
  try {
    return fileOf(file.envelope);
  } catch (thrown) {
    throw refusal('statement', toChorusError(thrown).message);
  }
}

function statementIn(file: ReceiptFile): ReceiptStatement {
  try {
    return parseStatement(file);
  } catch (thrown) {
    throw refusal('statement', toChorusError(thrown).message);
  }
}

function demandSize(file: ReceiptFile, statement: ReceiptStatement): void {
  try {
    checkSize(file, statement);
  } catch (thrown) {
    throw refusal('size', toChorusError(thrown).message);
  }
}

function refusal(check: string, reason: string): ChorusError {
  return new ChorusError('bad-message', `the receipt fails the check ${check}: ${reason}`, { check });
}

function reasonOf({ code, details }: ChorusError): string {
  return typeof details['check'] === 'string' ? details['check'] : code;
}
