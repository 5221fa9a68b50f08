# Assembly with unusual call frame information, as libcrypto and libc have it.
	.text

# The CFA is found through memory: `DW_CFA_def_cfa_expression { breg7 152, deref, plus_uconst 8 }`.
	.globl	by_expression
	.type	by_expression,@function
by_expression:
	.cfi_startproc
	mov	%rsp,%rax
	.cfi_def_cfa_register %rax
	push	%rbx
	.cfi_offset %rbx,-16
	push	%rbp
	.cfi_offset %rbp,-24
	push	%r12
	.cfi_offset %r12,-32
	sub	$160,%rsp
	and	$-64,%rsp
	mov	%rax,152(%rsp)
	# DW_CFA_def_cfa_expression, 6 bytes: breg7 152, deref, plus_uconst 8
	.cfi_escape 0x0f,0x06,0x77,0x98,0x01,0x06,0x23,0x08
	xor	%ebp,%ebp
	mov	$40,%edi
	call	burn@PLT
	mov	152(%rsp),%rsi
	.cfi_def_cfa %rsi,8
	mov	-24(%rsi),%r12
	.cfi_restore %r12
	mov	-16(%rsi),%rbp
	.cfi_restore %rbp
	mov	-8(%rsi),%rbx
	.cfi_restore %rbx
	lea	(%rsi),%rsp
	.cfi_def_cfa_register %rsp
	ret
	.cfi_endproc
	.size	by_expression,.-by_expression

# The CFA is counted from rbx, and rbp holds garbage.
	.globl	by_rbx
	.type	by_rbx,@function
by_rbx:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbx,-16
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbp,-24
	mov	%rsp,%rbx
	.cfi_def_cfa_register %rbx
	sub	$256,%rsp
	and	$-128,%rsp
	mov	$0x1234567890,%rbp
	mov	$40,%edi
	call	burn@PLT
	mov	%rbx,%rsp
	.cfi_def_cfa_register %rsp
	pop	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	ret
	.cfi_endproc
	.size	by_rbx,.-by_rbx

# A leaf that moves its return address into a register (r11) and counts its CFA from another (r10).
	.globl	leaf_by_r10
	.type	leaf_by_r10,@function
leaf_by_r10:
	.cfi_startproc
	lea	8(%rsp),%r10
	.cfi_def_cfa %r10,0
	sub	$128,%rsp
	and	$-64,%rsp
	mov	%rdi,%rcx
1:	imul	$31,%rax,%rax
	dec	%rcx
	jnz	1b
	lea	-8(%r10),%rsp
	.cfi_def_cfa %rsp,8
	ret
	.cfi_endproc
	.size	leaf_by_r10,.-leaf_by_r10

# Two exits: the state is remembered for the second.
	.globl	remembers
	.type	remembers,@function
remembers:
	.cfi_startproc
	push	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_offset %r15,-16
	sub	$1032,%rsp
	.cfi_adjust_cfa_offset 1032
	test	%edi,%edi
	jz	2f
	mov	$40,%edi
	call	burn@PLT
	.cfi_remember_state
	add	$1032,%rsp
	.cfi_adjust_cfa_offset -1032
	pop	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	ret
2:	.cfi_restore_state
	mov	$40,%edi
	call	burn@PLT
	add	$1032,%rsp
	.cfi_adjust_cfa_offset -1032
	pop	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	ret
	.cfi_endproc
	.size	remembers,.-remembers

	.section .note.GNU-stack,"",@progbits
