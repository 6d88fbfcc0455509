import { z } from 'zod';
import { digestSchema, peerIdSchema } from '../ids.ts';
import { tierSchema } from '../receipt/receipt.ts';

/** Receipts that one page of the list has at most. */
export const MAX_LISTED_RECEIPTS = 200;

/** What `GET /api/receipts?before=INDEX&limit=N` answers: receipts of the log below `before`, the newest first. */
export const receiptListSchema = z.object({
  /** Entries of the log. */
  size: z.int().min(0),
  receipts: z
    .array(
      z.object({
        /** Of its entry in the log. */
        index: z.int().min(0),
        id: digestSchema,
        /** Digest of the manifest. */
        model: digestSchema,
        /** Null for a model that the server does not have any more. */
        modelName: z.string().max(64).nullable(),
        tier: tierSchema,
        requester: peerIdSchema,
        finishedAt: z.iso.datetime({ offset: false }),
      }),
    )
    .max(MAX_LISTED_RECEIPTS),
});
export type ReceiptList = z.infer<typeof receiptListSchema>;
export type ListedReceipt = ReceiptList['receipts'][number];
