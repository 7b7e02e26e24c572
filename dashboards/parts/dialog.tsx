/** A question to the person at the page: the browser's own modal dialog, which keeps focus and closes on Escape. */
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { t } from '../texts/texts.ts'

export type DialogProps = {
  readonly title: string
  readonly confirm: string
  readonly onConfirm: (values: FormData) => void
  readonly onClose: () => void
  readonly children?: ComponentChildren
}

export function Dialog({ title, confirm, onConfirm, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  // Before the next key arrives: what is typed at once belongs into the dialog.
  useLayoutEffect(() => {
    element.current?.showModal()
    element.current?.querySelector<HTMLElement>('input, textarea, select')?.focus()
  }, [])
  return (
    <dialog ref={element} onClose={onClose} aria-label={title}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault()
          onConfirm(new FormData(event.currentTarget))
          onClose()
        }}
      >
        <h2>{title}</h2>
        {children}
        <p class="buttons">
          <button type="submit" class="main">
            {confirm}
          </button>
          <button type="button" onClick={onClose}>
            {t('cancel')}
          </button>
        </p>
      </form>
    </dialog>
  )
}
