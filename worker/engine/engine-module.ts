import type * as fileSystemModule from 'node:fs/promises';
import { fetchWasm, orProgramGone } from '../wasm-file.ts';

/**
 * Functions of engine.wasm. All arguments are numbers; pointers are bytes into the memory that it was given. What each
 * does stands beside it in c/.
 */
export interface EngineFunctions {
  quantize(x: number, stride: number, quants: number, scales: number, sums: number, rows: number, blocks: number): void;
  pack_tile(matrix: number, tile: number, source: number, rows: number): void;
  multiply(
    ...matrixAndActivations: [
      matrix: number,
      quants: number,
      scales: number,
      sums: number,
      y: number,
      stride: number,
      rows: number,
      scratch: number,
    ]
  ): void;
  unfold(matrix: number, ids: number, y: number, stride: number, rows: number, scratch: number): void;
  multiply_plain(
    ...matrixAndRows: [
      matrix: number,
      isHalf: number,
      matrixRows: number,
      columns: number,
      x: number,
      xStride: number,
      y: number,
      yStride: number,
      rows: number,
    ]
  ): void;
  gather_plain(
    ...tableAndRows: [
      table: number,
      isHalf: number,
      columns: number,
      ids: number,
      y: number,
      stride: number,
      rows: number,
    ]
  ): void;
  rms_norm(
    ...rowsAndNorm: [
      x: number,
      xStride: number,
      gamma: number,
      y: number,
      yStride: number,
      rows: number,
      groups: number,
      width: number,
      epsilon: number,
    ]
  ): void;
  binary(
    ...operands: [
      operation: number,
      a: number,
      aStride: number,
      b: number,
      bStride: number,
      y: number,
      yStride: number,
      rows: number,
      width: number,
    ]
  ): void;
  unary(operation: number, x: number, xStride: number, y: number, yStride: number, rows: number, width: number): void;
  select_rows(x: number, xStride: number, ids: number, y: number, yStride: number, rows: number, width: number): void;
  rotate(
    ...rowsAndAngles: [
      x: number,
      stride: number,
      cosines: number,
      sines: number,
      positions: number,
      rows: number,
      heads: number,
      headSize: number,
      rotary: number,
      interleaved: number,
    ]
  ): void;
  append(
    ...rowsAndStores: [
      x: number,
      xStride: number,
      stores: number,
      positions: number,
      rows: number,
      kvHeads: number,
      headSize: number,
      capacities: number,
    ]
  ): void;
  attend(
    ...queriesAndStores: [
      q: number,
      qStride: number,
      keys: number,
      values: number,
      positions: number,
      capacities: number,
      y: number,
      yStride: number,
      rows: number,
      heads: number,
      kvHeads: number,
      headSize: number,
      scale: number,
      softcap: number,
      scratch: number,
    ]
  ): void;
  candidates(logits: number, stride: number, rows: number, vocabulary: number, count: number, out: number): void;
  settle_nan(x: number, count: number): void;
}

/** The compiled module. Throws `worker-lost` where it cannot be read. */
export async function loadEngineModule(): Promise<WebAssembly.Module> {
  return orProgramGone(WebAssembly.compile(await moduleBytes()));
}

/** Bytes of engine.wasm, in a browser and in Node. */
export async function moduleBytes(): Promise<Uint8Array<ArrayBuffer>> {
  const isBrowser = 'location' in globalThis;
  if (isBrowser) {
    const { default: url } = await orProgramGone(import('./engine.wasm?url'));
    return new Uint8Array(await fetchWasm(import.meta.env.PROD ? `${url}.gz` : url));
  }
  // Named apart, so that the page's bundle does not look for it.
  const fileSystem = 'node:fs/promises';
  const { readFile } = (await import(/* @vite-ignore */ fileSystem)) as typeof fileSystemModule;
  return new Uint8Array(await readFile(new URL('./engine.wasm', import.meta.url)));
}
