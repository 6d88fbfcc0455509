/** A key that stands twice in an object of a JSON text, where a parser would keep the last one; null where none does. The text must be JSON. */
export function repeatedKey(json: string): string | null {
  // Null is a list, which has no keys.
  const open: (Set<string> | null)[] = [];
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;
  for (let found = token.exec(json); found !== null; found = token.exec(json)) {
    const [text, colon] = found;
    if (text === '{') open.push(new Set());
    else if (text === '[') open.push(null);
    else if (text === '}' || text === ']') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(text.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return null;
}
