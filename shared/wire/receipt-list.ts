import { z } from 'zod';
import { digestSchema, peerIdSchema, sessionIdSchema } from '../ids.ts';
import { MAX_LISTED_RECEIPTS, MAX_RECORDS } from '../limits.ts';
import { tierSchema } from '../receipt/finding-form.ts';

const DEFAULT_PAGE = 50;

const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
/** RFC 3339 in UTC and whole seconds, as the entries of the log have it. */
const time = z.iso.datetime({ precision: 0, offset: false });

/** The parameters of `GET /api/receipts`, each at most once, parsed from their texts. */
export const receiptQuerySchema = z
  .strictObject({
    /** The entry of a receipt: those that come after it in the list. */
    before: wholeNumber.nullable().default(null),
    limit: wholeNumber.pipe(z.number().min(1).max(MAX_LISTED_RECEIPTS)).default(DEFAULT_PAGE),
    /** Digest of a manifest. */
    model: digestSchema.nullable().default(null),
    tier: tierSchema.nullable().default(null),
    /** Receipts whose answer was finished in [from, to). */
    from: time.nullable().default(null),
    to: time.nullable().default(null),
  })
  .refine(({ from, to }) => from === null || to === null || from < to, {
    path: ['to'],
    message: 'it is not after from',
  });
export type ReceiptQuery = z.infer<typeof receiptQuerySchema>;
/** The properties that are looked for; null: any. */
export type ReceiptFilter = Omit<ReceiptQuery, 'before' | 'limit'>;

/**
 * The answer of `GET /api/receipts`: receipts of the log, by the time at which their answers were finished and then by
 * entry, the last first.
 */
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
        /** Which record of which session it is; null for receipts of version 1. */
        record: z
          .object({
            session: sessionIdSchema,
            number: z.int().min(1).max(MAX_RECORDS),
            previous: digestSchema.nullable(),
          })
          .nullable()
          .default(null),
      }),
    )
    .max(MAX_LISTED_RECEIPTS),
});
export type ReceiptList = z.infer<typeof receiptListSchema>;
export type ListedReceipt = ReceiptList['receipts'][number];
