import type { Envelope } from '#shared/crypto/envelope.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { Replayed } from '#shared/receipt/verify/check.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import { policyOfServer } from '../receipts/log-policy.ts';
import type { VerifyRequest } from '../receipts/verify-here.ts';
import { manifestBytes } from '../receipts/manifest-bytes.ts';
import type { AnswerAtHand } from './repeat/answer-at-hand.ts';
import type { Verifier } from './verifier.svelte.ts';

export interface OpenedReceiptDeps {
  readonly verifier: Verifier;
  readonly fetchReceipt: (id: Digest, signal: AbortSignal) => Promise<ReceiptFile>;
  readonly fetchLog: (signal: AbortSignal) => Promise<LogStatus>;
  /** Holds a proof's checkpoint to what this browser has seen of the log. Never rejects. */
  readonly holdProof: (proof: string) => Promise<void>;
  readonly fetchManifest: (digest: Digest, signal: AbortSignal) => Promise<Envelope>;
}

/** One logged receipt, fetched from the server and verified here. */
export class OpenedReceipt {
  status: 'loading' | 'missing' | 'failed' | 'shown' = $state('loading');
  file: ReceiptFile | null = $state.raw(null);
  verification: Verification | null = $state.raw(null);
  error: ChorusError | null = $state.raw(null);
  /** True where it was held to the keys of log and witnesses that the server names. */
  hasPolicy = $state(false);
  /** Digest of its model's manifest, where this server has that: the receipt was compared with it. */
  manifest: Digest | null = $state.raw(null);
  /** Why there is none. */
  manifestError: ChorusError | null = $state.raw(null);

  readonly #deps: OpenedReceiptDeps;
  #opening = new AbortController();
  /** What `verification` was given. */
  #given: VerifyRequest | null = null;

  constructor(deps: OpenedReceiptDeps) {
    this.#deps = deps;
  }

  /** Opens it, and compares it with what its reader has. Never rejects: what goes wrong is in `status` and `error`. */
  async open(id: Digest, atHand: AnswerAtHand = {}): Promise<void> {
    this.#opening.abort();
    const opening = new AbortController();
    this.#opening = opening;
    this.status = 'loading';
    this.file = null;
    this.verification = null;
    this.error = null;
    this.manifest = null;
    this.manifestError = null;
    this.#given = null;
    try {
      const { fetchReceipt, fetchLog, verifier } = this.#deps;
      verifier.prepare();
      const [file, log] = await Promise.all([
        fetchReceipt(id, opening.signal),
        // Without it the receipt can be verified all the same, but for the signatures on its log.
        fetchLog(opening.signal).catch(() => null),
      ]);
      if (opening.signal.aborted) return;
      const policy = log === null || file.proof === null ? null : policyOfServer(log);
      const given = { receipt: file, ...atHand, ...(policy !== null && { policy, isPolicyOfServer: true }) };
      const first = await verifier.verify(given);
      if (opening.signal.aborted) return;
      if (first.id !== id) throw new ChorusError('digest-mismatch', 'the server gave another receipt');
      const manifest = await this.#manifestOf(first, opening.signal);
      const whole = manifest === null ? given : { ...given, manifest };
      const verification = manifest === null ? first : await verifier.verify(whole);
      if (opening.signal.aborted) return;
      this.file = file;
      this.verification = verification;
      this.#given = whole;
      this.hasPolicy = policy !== null;
      this.status = 'shown';
      if (file.proof !== null) void this.#deps.holdProof(file.proof);
    } catch (thrown) {
      if (opening.signal.aborted) return;
      this.error = toChorusError(thrown, 'server-lost');
      this.status = this.error.details['status'] === 404 ? 'missing' : 'failed';
    }
  }

  /** Takes in what a replay of it has shown. Never rejects. */
  async takeReplay(replayed: Replayed): Promise<void> {
    const given = this.#given;
    if (given === null) return;
    const verification = await this.#deps.verifier.verify({ ...given, replayed }).catch(() => null);
    if (verification !== null && given === this.#given) this.verification = verification;
  }

  /** The manifest that a receipt names. Null where it cannot be had, which makes the receipt no worse. */
  async #manifestOf({ summary }: Verification, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    if (summary === null) return null;
    const digest = summary.model.manifest.sha256 as Digest;
    try {
      const bytes = manifestBytes(await this.#deps.fetchManifest(digest, signal), digest);
      if (!signal.aborted) this.manifest = digest;
      return bytes;
    } catch (thrown) {
      if (!signal.aborted) this.manifestError = toChorusError(thrown, 'server-lost');
      return null;
    }
  }
}
