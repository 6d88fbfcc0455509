/** Of kept pieces of a model that were damaged or lost, for people. */
export function describeDamage(pieces: number): string {
  const parts = pieces === 1 ? 'A part of the model' : `${pieces} parts of the model`;
  const verb = pieces === 1 ? 'was' : 'were';
  return `${parts} that this device had kept ${verb} damaged or lost; downloading again.`;
}
