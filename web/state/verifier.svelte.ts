import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import type { VerifyHere, VerifyRequest } from '../receipts/verify-here.ts';

/** Verification in this page. Its code is loaded when a view first wants it; from then on it needs no network. */
export class Verifier {
  status: 'idle' | 'loading' | 'ready' | 'failed' = $state('idle');

  readonly #load: () => Promise<VerifyHere>;
  #loading: Promise<VerifyHere> | null = null;

  constructor(load: () => Promise<VerifyHere>) {
    this.#load = load;
  }

  /** Loads what verification needs. A failure is tried again when the code is needed, and shown then. */
  prepare(): void {
    this.#loaded().catch(() => undefined);
  }

  /** Rejects only where the code for it could not be loaded. */
  async verify(request: VerifyRequest): Promise<Verification> {
    const verify = await this.#loaded();
    return verify(request);
  }

  async #loaded(): Promise<VerifyHere> {
    if (this.#loading === null) {
      this.status = 'loading';
      this.#loading = this.#load();
    }
    try {
      const verify = await this.#loading;
      this.status = 'ready';
      return verify;
    } catch (error) {
      this.status = 'failed';
      this.#loading = null;
      throw error;
    }
  }
}
