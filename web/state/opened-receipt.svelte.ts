import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { Verification } from '#shared/receipt/verify-receipt.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import { policyOfServer } from '../log-policy.ts';
import type { Verifier } from './verifier.svelte.ts';

export interface OpenedReceiptDeps {
  readonly verifier: Verifier;
  readonly fetchReceipt: (id: Digest, signal: AbortSignal) => Promise<ReceiptFile>;
  readonly fetchLog: (signal: AbortSignal) => Promise<LogStatus>;
}

/** One logged receipt, fetched from the server and verified here. */
export class OpenedReceipt {
  status: 'loading' | 'missing' | 'failed' | 'shown' = $state('loading');
  file: ReceiptFile | null = $state.raw(null);
  verification: Verification | null = $state.raw(null);
  error: ChorusError | null = $state.raw(null);
  /** True where it was held to the keys of log and witnesses that the server names. */
  hasPolicy = $state(false);

  readonly #deps: OpenedReceiptDeps;
  #opening = new AbortController();

  constructor(deps: OpenedReceiptDeps) {
    this.#deps = deps;
  }

  /** Never rejects: what goes wrong is in `status` and `error`. */
  async open(id: Digest): Promise<void> {
    this.#opening.abort();
    const opening = new AbortController();
    this.#opening = opening;
    this.status = 'loading';
    this.file = null;
    this.verification = null;
    this.error = null;
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
      const verification = await verifier.verify({
        receipt: file,
        ...(policy !== null && { policy, isPolicyOfServer: true }),
      });
      if (opening.signal.aborted) return;
      if (verification.id !== id) throw new ChorusError('digest-mismatch', 'the server gave another receipt');
      this.file = file;
      this.verification = verification;
      this.hasPolicy = policy !== null;
      this.status = 'shown';
    } catch (thrown) {
      if (opening.signal.aborted) return;
      this.error = toChorusError(thrown, 'server-lost');
      this.status = this.error.details['status'] === 404 ? 'missing' : 'failed';
    }
  }
}
