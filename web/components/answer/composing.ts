/** The key code of a key that an input method takes for itself (UI Events, 7.3.1). */
const TAKEN_BY_INPUT_METHOD = 229;

/**
 * True for a key by which somebody composes Chinese, Japanese or Korean text: Enter picks a candidate then, and Escape
 * drops it. Safari ends the composition before it tells of the key that ended it, so that only the code gives it away.
 */
export function isComposing({ isComposing, keyCode }: Pick<KeyboardEvent, 'isComposing' | 'keyCode'>): boolean {
  return isComposing || keyCode === TAKEN_BY_INPUT_METHOD;
}
