import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Digest } from '#shared/ids.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';

/** The content of `virtual:made-receipts`, for tests in the page: real receipts over real keys, made anew for each run. */
export interface MadeReceipts {
  readonly id: Digest;
  /** Checked everywhere, logged and witnessed. */
  readonly receipt: ReceiptFile;
  /** Every second span checked by nobody. */
  readonly unchecked: ReceiptFile;
  /** Names another shadow than the route, signed all the same. */
  readonly improved: ReceiptFile;
  /** The first, as entry 400 of 801. */
  readonly another: ReceiptFile;
  /** Of the model of all of them, signed by the server of their route. */
  readonly manifest: Envelope;
  readonly manifestDigest: Digest;
  readonly policy: string;
  readonly answer: string;
  readonly prompt: string;
  readonly salt: string;
  readonly tokens: readonly number[];
  readonly logKey: string;
  readonly witnessKeys: readonly string[];
  /** Checkpoints of the log with 3 entries, with 3 others, and with 9. */
  readonly notes: { readonly short: string; readonly forked: string; readonly long: string };
}
