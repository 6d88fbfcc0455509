/** Receipts are by strangers: what would move text about, hide it or steer a terminal is shown as a sign of its own. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}
