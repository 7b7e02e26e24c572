import type { ComponentChildren } from 'preact'

export type TableProps = {
  readonly label: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly ComponentChildren[])[]
  /** All columns but the first are numbers. */
  readonly numeric?: boolean
}

/** A table that scrolls by itself where the page is narrow, by keyboard, too. */
export function Table({ label, head, rows, numeric = false }: TableProps) {
  const columnClass = (index: number) => (numeric && index > 0 ? 'number' : undefined)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {head.map((name, index) => (
              <th key={name} scope="col" class={columnClass(index)}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, row) => (
            <tr key={row}>
              {cells.map((cell, index) => (
                <td key={index} class={columnClass(index)}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
