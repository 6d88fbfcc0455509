import { z } from 'zod';
import { digestSchema, shortId, type Digest } from '#shared/ids.ts';
import type { Tier } from '#shared/judge/finding.ts';
import { tierSchema } from '#shared/receipt/finding-form.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import type { ModelSummary } from '#shared/wire/model-list.ts';
import type { ListedReceipt, ReceiptFilter } from '#shared/wire/receipt-list.ts';

/** Which receipts somebody looks for, as the page's address says it; null: all. */
export interface ChosenReceipts {
  /** Digest of a manifest. */
  readonly model: Digest | null;
  readonly tier: Tier | null;
  /** First and last day, `2026-03-01`, by the calendar of this device. */
  readonly from: string | null;
  readonly to: string | null;
}

/** Of this millennium: what a calendar has before and after it is not of use. */
const daySchema = z.iso.date().regex(/^2/);

/** Reads the part of an address after `?`. Unreadable values are left out; days in the wrong order change places. */
export function parseChosen(query: string): ChosenReceipts {
  const given = new URLSearchParams(query);
  const read = <Value>(schema: z.ZodType<Value>, name: string): Value | null =>
    schema.safeParse(given.get(name)).data ?? null;
  const [from, to] = [read(daySchema, 'from'), read(daySchema, 'to')];
  const isReversed = from !== null && to !== null && from > to;
  return {
    model: read(digestSchema, 'model'),
    tier: read(tierSchema, 'tier'),
    from: isReversed ? to : from,
    to: isReversed ? from : to,
  };
}

/** The address of the view with what is chosen. */
export function addressOf(chosen: ChosenReceipts): string {
  const given = Object.entries(chosen).flatMap(([name, value]) => (value === null ? [] : [[name, value as string]]));
  return given.length === 0 ? '/receipts' : `/receipts?${new URLSearchParams(given)}`;
}

/** The question to the server. */
export function filterOf({ model, tier, from, to }: ChosenReceipts): ReceiptFilter {
  return {
    model,
    tier,
    from: from === null ? null : startOf(from, 0),
    to: to === null ? null : startOf(to, 1),
  };
}

/** When the day that is `after` days later begins here, in UTC and whole seconds. */
function startOf(day: string, after: number): string {
  const start = new Date(`${day}T00:00:00`);
  start.setDate(start.getDate() + after);
  return `${start.toISOString().slice(0, 19)}Z`;
}

/** Models to choose from, each once: those of the server, those of receipts that are here, and the chosen one. */
export function modelChoices(
  models: readonly Pick<ModelSummary, 'digest' | 'name'>[],
  listed: readonly Pick<ListedReceipt, 'model' | 'modelName'>[],
  chosen: Digest | null,
): readonly (readonly [Digest, string])[] {
  const names = new Map<Digest, string>();
  const add = (model: Digest, name: string | null) =>
    names.set(model, names.get(model) ?? (name === null ? `model ${shortId(model)}` : printable(name)));
  for (const { digest, name } of models) add(digest, name);
  for (const { model, modelName } of listed) add(model, modelName);
  if (chosen !== null) add(chosen, null);
  return [...names];
}
