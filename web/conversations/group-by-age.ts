const DAY_MS = 24 * 60 * 60 * 1000;

/** Things of one stretch of time, under its name. */
export interface AgeGroup<Item> {
  readonly name: string;
  readonly items: readonly Item[];
}

/** Newest first, in groups by the day of the calendar; groups without any are left out. */
export function groupByAge<Item extends { readonly updatedAtMs: number }>(
  items: readonly Item[],
  nowMs: number,
): AgeGroup<Item>[] {
  const today = new Date(nowMs).setHours(0, 0, 0, 0);
  const bounds = [
    { name: 'Today', fromMs: today },
    { name: 'Yesterday', fromMs: today - DAY_MS },
    { name: 'The week before', fromMs: today - 7 * DAY_MS },
    { name: 'Earlier', fromMs: -Infinity },
  ];
  let beforeMs = Infinity;
  return bounds.flatMap(({ name, fromMs }) => {
    const found = items.filter(({ updatedAtMs }) => updatedAtMs >= fromMs && updatedAtMs < beforeMs);
    beforeMs = fromMs;
    return found.length === 0 ? [] : [{ name, items: found }];
  });
}
