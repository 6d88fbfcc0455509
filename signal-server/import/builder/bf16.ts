/** bf16 as f32, exact: its bits are the upper half. */
export function widenBf16(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const wide = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i += 2) {
    wide[2 * i + 2] = bytes[i]!;
    wide[2 * i + 3] = bytes[i + 1]!;
  }
  return wide;
}
