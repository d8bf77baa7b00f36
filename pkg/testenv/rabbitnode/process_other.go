//go:build unix && !linux

package rabbitnode

import "syscall"

// Other systems cannot tie a child to its parent; it ends with Close.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
