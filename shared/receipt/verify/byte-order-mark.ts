/** A text as it was read from a file, without the byte order mark that some programs write before it. */
export function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}
