/** Table keys refuse / \ # ? and control characters, which device ids and signal names may hold. */
export function tableKey(text: string): string {
  return text.replace(/[/\\#?~%'\u0000-\u001f\u007f-\u009f]/g, (character) => `~${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** Milliseconds as a key that sorts as text. */
export function timeKey(timeMs: number): string {
  return Math.max(0, Math.round(timeMs)).toString().padStart(15, '0')
}

export function sequenceKey(sequenceNumber: number): string {
  return sequenceNumber.toString().padStart(16, '0')
}
