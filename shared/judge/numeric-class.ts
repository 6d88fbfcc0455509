/**
 * Numeric classes: the name of the arithmetic that a replica computes in, such as `wasm` or `webgpu/nvidia/ampere`. In an
 * exact class the bits of a row depend on no device, so that the smallest difference between two replicas is a lie.
 */

/** The inference runtime's WebAssembly: equal bits for equal input in runs of equal shapes. */
export const RUNTIME_CLASS = 'wasm';
/**
 * The engine in this repository: equal bits for equal input, however the runs are cut. The name is that of its rows' format
 * and the first 16 hexadecimal digits of its module's SHA-256; another module is another class.
 */
export const ENGINE_CLASS = 'int16/36efd1ce31e695e8';
/** SHA-256 of the engine's module, which receipts name in full. */
export const ENGINE_MODULE = '36efd1ce31e695e81d7eee3e3d2b655a1b7a30432e15f75a2d542e087beff7ab';
const [ENGINE_FORMAT] = ENGINE_CLASS.split('/');

/** The name that limits are measured under: of an engine the format of its rows, whichever module it is. */
export function limitsClass(numericClass: string): string {
  return isOfEngineFormat(numericClass) ? ENGINE_FORMAT! : numericClass;
}

/** True for every module of this project's engine, and not only for the one that a program comes with. */
export function isOfEngineFormat(numericClass: string): boolean {
  return numericClass.split('/')[0] === ENGINE_FORMAT;
}

/** SHA-256 of the module that computes in this class; null for a class that is not the engine's here. */
export function engineModuleOf(numericClass: string): string | null {
  return numericClass === ENGINE_CLASS ? ENGINE_MODULE : null;
}

/** True if an engine's module of this SHA-256 computes in the class; null is of a class that has none, or another engine than the one here. */
export function isModuleOf(numericClass: string, module: string | null): boolean {
  if (module === null) return numericClass !== ENGINE_CLASS;
  return isOfEngineFormat(numericClass) && numericClass === `${ENGINE_FORMAT}/${module.slice(0, 16)}`;
}

/** True for a class whose bits depend on nothing but the input and, where `dependsOnRuns`, the shapes of the runs. */
export function isExactClass(numericClass: string): boolean {
  return numericClass === ENGINE_CLASS || numericClass === RUNTIME_CLASS;
}

/** True for two replicas of one exact class. */
export function isExactPair(a: string, b: string): boolean {
  return a === b && isExactClass(a);
}

/** True for the exact class whose bits also depend on the shapes of the runs. */
export function dependsOnRuns(numericClass: string): boolean {
  return numericClass === RUNTIME_CLASS;
}

/** True if equal input leaves replicas of these classes no room for any difference; `areRunsEqual` tells of the shapes of their runs. */
export function haveEqualBits(a: string, b: string, areRunsEqual: boolean): boolean {
  return isExactPair(a, b) && (areRunsEqual || !dependsOnRuns(a));
}

/** The words for a class: `WebGPU · nvidia/ampere`, `WASM`, `CPU · exact engine`. A class that nobody knows has its own name. */
export function describeNumericClass(numericClass: string): string {
  if (numericClass === RUNTIME_CLASS) return 'WASM';
  if (numericClass === ENGINE_CLASS) return 'CPU · exact engine';
  const [arithmetic, ...device] = numericClass.split('/');
  if (arithmetic === ENGINE_FORMAT) return 'CPU · another engine';
  if (arithmetic !== 'webgpu') return numericClass;
  return device.length === 0 ? 'WebGPU' : `WebGPU · ${device.join('/')}`;
}

/** The words for a class where there is room for the digest of its engine. */
export function describeNumericClassInFull(numericClass: string): string {
  const [arithmetic, digest] = numericClass.split('/');
  const words = describeNumericClass(numericClass);
  return arithmetic === ENGINE_FORMAT && digest !== undefined ? `${words} ${digest}` : words;
}
