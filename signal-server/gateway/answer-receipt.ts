import type { Logger } from 'pino';
import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import {
  makeReceipt,
  type EndedAnswer,
  type ReceiptVerdict,
  type SignedReceipt,
} from '#shared/receipt/build/make-receipt.ts';
import { PreviousReceipts } from '#shared/receipt/build/previous-receipts.ts';
import { isTold } from '../machine/storage-state.ts';
import type { ReceiptDesk } from '../receipts/receipt-desk.ts';
import type { GatewayModel } from './gateway-models.ts';

/** How long an answer that is whole waits for its receipt to be in the log. */
const LOG_TIMEOUT_MS = 5_000;

/** The receipt of an answer as its client is told of it. */
export type ReceiptNote =
  | {
      readonly receipt: {
        readonly id: Digest;
        readonly url: string;
        /** 32 bytes in hexadecimal, which the server does not keep: with it, a prompt can be compared with the receipt. */
        readonly salt: string;
      };
    }
  | { readonly receipt: null; readonly receiptError: { readonly code: string; readonly message: string } };

/** What became of the receipt of an answer. */
export interface GivenReceipt {
  readonly note: ReceiptNote;
  /** Null where none could be made; of one that is not in the log it may still come to be seen. */
  readonly verdict: ReceiptVerdict | null;
}

export interface GatewayAnswer extends EndedAnswer {
  /** In whose name it was asked for. */
  readonly identity: Identity;
  readonly model: GatewayModel;
}

/** Makes the receipt of an answer and has it logged. Never rejects: an answer without a receipt is still an answer. */
export type GiveReceipt = (answer: GatewayAnswer) => Promise<GivenReceipt>;

export interface ReceiptGiverDeps {
  /** Raw key of the server, which signs routes, 32 bytes. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly desk: Pick<ReceiptDesk, 'accept'>;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Gets codes and reasons, never prompts, answers or salts. */
  readonly log: Pick<Logger, 'warn'>;
}

export function createReceiptGiver({ serverKey, desk, clock, random, log }: ReceiptGiverDeps): GiveReceipt {
  const previous = new PreviousReceipts();

  function make({ model, identity, ...answer }: GatewayAnswer): Promise<SignedReceipt> {
    return makeReceipt(answer, {
      ...{ manifest: model.manifest, manifestDigest: model.digest, text: model.text },
      ...{ requester: { kind: 'gateway', identity }, serverKey, random, verify, previous },
    });
  }

  function missing(thrown: unknown): ReceiptNote {
    const { code, message: reason } = toChorusError(thrown);
    log.warn({ code, reason }, 'an answer has no receipt');
    // Failures of our own making keep their words to themselves, but for states of the server that everybody may know.
    const isSecret = code === 'internal' && !isTold(thrown);
    const message = isSecret ? 'the server could not make or log the receipt' : reason;
    return { receipt: null, receiptError: { code: code.replaceAll('-', '_'), message } };
  }

  return async (answer) => {
    let verdict: ReceiptVerdict | null = null;
    try {
      const { id, file, secrets, ...made } = await make(answer);
      verdict = made.verdict;
      await within(clock, LOG_TIMEOUT_MS, desk.accept(file.envelope));
      return { note: { receipt: { id, url: `/v1/receipts/${id}`, salt: toHex(secrets.salt) } }, verdict };
    } catch (thrown) {
      return { note: missing(thrown), verdict };
    }
  };
}

/** Rejects with `timeout` if it takes longer. */
async function within<Value>(clock: Clock, timeoutMs: number, waited: Promise<Value>): Promise<Value> {
  let cancel = (): void => {};
  const late = new Promise<never>((_resolve, reject) => {
    const text = `the receipt was not in the log within ${timeoutMs / 1000} s; it may come to be there`;
    cancel = clock.setTimer(() => reject(new ChorusError('timeout', text)), timeoutMs);
  });
  try {
    return await Promise.race([waited, late]);
  } finally {
    cancel();
  }
}
