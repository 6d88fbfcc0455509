/** Numbers as people read them. Units are those of the argument's name. */

const BYTE_UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** `6.2 MB`, decimal units, at most one digit after the point. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** `0.4 ms`, `12 ms`, `1.3 s`. */
export function formatMs(ms: number): string {
  if (ms >= 999.5) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 9.95 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** `950`, `12.4 k`, `6.0 M`. */
export function formatCount(count: number): string {
  if (count >= 999_950_000) return `${(count / 1e9).toFixed(1)} B`;
  if (count >= 999_950) return `${(count / 1e6).toFixed(1)} M`;
  if (count >= 10_000) return `${(count / 1000).toFixed(1)} k`;
  return String(Math.round(count));
}

/** A small relative difference: `0.021 %`, or `under 0.001 %`. */
export function formatShare(share: number): string {
  return share < 1e-5 ? 'under 0.001 %' : `${(share * 100).toPrecision(2)} %`;
}

/** With a capital first and a full stop last. */
export function toSentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** `8.4` below a hundred, whole numbers above. */
export function formatRate(perSecond: number): string {
  return perSecond >= 99.5 ? String(Math.round(perSecond)) : perSecond.toFixed(1);
}

/** `12 s`, `4 min`, `3 h 20 min`, `2 d 4 h`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `1 volunteer`, `2 volunteers`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** The day, as it is written here. */
export function formatDate(atMs: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(atMs);
}

/** Date and time, as it is written here; a dash for what no calendar has. */
export function formatDateTime(atMs: number): string {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  return Number.isNaN(new Date(atMs).getTime()) ? '–' : format.format(atMs);
}
